// `orrery models merge|unmerge`: low-rank adapters into the weights of a model, and out again.
import { Command } from 'commander';
import { plainNumberOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { globalsOf, type Session } from '../session.ts';

type Flags = { readonly output: string; readonly alpha?: number };

export const mergeCommand = (session: Session): Command => command(session, 1);
export const unmergeCommand = (session: Session): Command => command(session, -1);

function command(session: Session, sign: 1 | -1): Command {
  const isMerge = sign === 1;
  return new Command(isMerge ? 'merge' : 'unmerge')
    .description(
      isMerge
        ? 'write a copy of a model with a low-rank adapter in its weights'
        : 'write a copy of a merged model with the adapter taken out again, up to rounding',
    )
    .argument('<model>', 'model folder, name of a shipped or fetched model, or folder of safetensors files')
    .argument('<adapter>', 'adapter file, or folder of a public one')
    .requiredOption('-o, --output <folder>', 'new folder')
    .addOption(plainNumberOption('--alpha <n>', 'strength of an adapter whose file does not tell it'))
    .addHelpText(
      'after',
      `\nExample:\n  orrery models ${isMerge ? 'merge orrery-nano' : 'unmerge merged'} adapter.safetensors -o ${isMerge ? 'merged' : 'plain'}`,
    )
    .action(async (model: string, adapter: string, { output, alpha }: Flags, self: Command) => {
      const { json, quiet } = globalsOf(self);
      const { mergeAdapter, readAdapter } = await import('../../training/adapter.ts');
      const { locateModel } = await import('../../hub/index.ts');
      let bar: ReturnType<typeof openProgress> | undefined;
      const options = { sign, signal: session.signal };
      for await (const event of mergeAdapter(locateModel(model), readAdapter(adapter, alpha), output, options)) {
        if (event.type === 'weight') {
          bar ??= openProgress(isMerge ? 'merge' : 'unmerge', event.total, { quiet });
          bar.update(event.index);
          continue;
        }
        bar?.clear();
        if (!quiet) session.note(`${event.merged} weights changed, at most by ${event.maxChange.toPrecision(3)}`);
        session.print(json ? JSON.stringify(event) : event.dir);
      }
    });
}
