// `orrery demo`: one world from a sentence with the shipped model, and where to go from there. Needs nothing but the package.
import { availableParallelism } from 'node:os';
import { Command } from 'commander';
import { VERSION } from '../../hub/index.ts';
import { globalsOf, type Session } from '../session.ts';
import { showGeneration } from './generate.ts';

const REQUEST = { prompt: 'A red ball and a blue ball roll towards each other on a wooden floor.', seed: 7 };

export function demoCommand(session: Session): Command {
  return new Command('demo')
    .description('make one small world with the shipped model')
    .option('-o, --out <dir>', 'folder that gets the run folder (default runs)')
    .addHelpText('after', '\nExample:\n  orrery demo')
    .action(async ({ out = 'runs' }: { out?: string }, command: Command) => {
      const options = globalsOf(command);
      const note = (line: string): void => (options.quiet ? undefined : session.note(line));
      note(`orrery ${VERSION} · node ${process.versions.node} · ${availableParallelism()} threads · no network used`);
      note(`prompt    ${REQUEST.prompt}`);
      session.resumeWith('the unfinished run was taken away; the same command starts it again');
      const { generate } = await import('../../worlds/index.ts');
      const { openGuardrail } = await import('../../guardrail/index.ts');
      await using guardrail = await openGuardrail();
      await showGeneration(session, generate(REQUEST, { out, guardrail, signal: session.signal }), options);
      note('next      npm run orrery -- generate "a green ball is dropped onto a tiled floor" --seed 3');
      note('          npm run orrery -- generate --input YOUR.mp4    go on from a video or picture');
      note('          npm run orrery -- doctor                       what this machine can run');
    });
}
