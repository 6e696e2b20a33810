// `orrery simulate`: one clip with ground truth, a whole data set, or physics against closed forms.
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Command } from 'commander';
import { InputError, OrreryError } from '../../base/index.ts';
import { seedOption, sizeOption, wholeOption } from '../options.ts';
import { openProgress, type Progress } from '../progress.ts';
import { globalsOf, type Session, table } from '../session.ts';

export function simulateCommand(session: Session): Command {
  return new Command('simulate')
    .description('simulate and render a scene with ground truth')
    .argument('[scenario]', 'name of a scenario; without one their names are listed')
    .addOption(seedOption())
    .addOption(wholeOption('--frames <n>', 'frames of the clip', 1, 10_000))
    .addOption(sizeOption('width x height of a frame, such as 128x128'))
    .addOption(wholeOption('--fps <n>', 'frames per second', 1, 240))
    .option('-o, --out <dir>', 'folder to write')
    .addHelpText(
      'after',
      '\nExamples:\n  orrery simulate table_collision --seed 7 -o scene\n  orrery simulate dataset recipes/table-world.json -o data/table-world\n  orrery simulate check shared/parity/physics/*.json',
    )
    .addCommand(datasetCommand(session))
    .addCommand(checkCommand(session))
    .action(async (scenario: string | undefined, options: ClipOptions, command: Command) =>
      clip(session, scenario, options, command),
    );
}

type ClipOptions = {
  readonly seed?: number;
  readonly frames?: number;
  readonly size?: { readonly width: number; readonly height: number };
  readonly fps?: number;
  readonly out?: string;
};

async function clip(
  session: Session,
  scenario: string | undefined,
  options: ClipOptions,
  command: Command,
): Promise<void> {
  const { json, quiet } = globalsOf(command);
  const { SCENARIOS, simulateClip } = await import('../../simulation/index.ts');
  if (scenario === undefined) {
    if (json) session.print(JSON.stringify(SCENARIOS));
    else for (const name of SCENARIOS) session.print(name);
    return;
  }
  const name = SCENARIOS.find((one) => one === scenario);
  if (name === undefined) throw new InputError('scenario', { got: scenario, need: SCENARIOS.join(', ') }, 'usage');
  const { writeClip } = await import('../../simulation/write-clip.ts');
  const { seed = 0, frames, fps, size, out = join('scenes', `${name}-${options.seed ?? 0}`) } = options;
  session.resumeWith(`the folder ${out} is not complete; the same command writes it again`);
  const made = await simulateClip(name, seed, {
    ...(frames === undefined ? {} : { frames }),
    ...(fps === undefined ? {} : { fps }),
    ...(size ?? {}),
    signal: session.signal,
  });
  let bar: Progress | undefined;
  let done = 0;
  for await (const event of writeClip(made, { dir: out, signal: session.signal })) {
    if (json) session.print(JSON.stringify(event));
    if (event.type === 'start') bar = openProgress('cameras', event.cameras, { quiet });
    if (event.type === 'camera') bar?.update(++done, { text: `${event.name} ${event.seconds.toFixed(1)} s` });
    if (event.type === 'done') {
      bar?.clear();
      if (!quiet) session.note(`${name}, seed ${seed}: ${event.files.length} files, trajectory sha256 ${event.sha256}`);
      if (!json) session.print(event.dir);
    }
  }
}

function datasetCommand(session: Session): Command {
  return new Command('dataset')
    .description('write a data set with train and held-out clips; the same command continues it')
    .argument('<spec>', 'specification file, such as recipes/table-world.json')
    .option('-o, --out <dir>', 'folder to write (default data/NAME)')
    .addOption(wholeOption('--workers <n>', 'clips rendered at a time (default: all cores)', 1, 1024))
    .addHelpText('after', '\nExample:\n  orrery simulate dataset recipes/table-world.json -o data/table-world')
    .action(async (path: string, options: { workers?: number }, command: Command) => {
      const { json, quiet } = globalsOf(command);
      // The parent has `-o` too, and commander gives the flag to whichever comes first.
      const { out } = command.optsWithGlobals<{ out?: string }>();
      const { parseDatasetSpec, writeDataset } = await import('../../simulation/dataset/write.ts');
      const spec = parseDatasetSpec(readJson(path));
      const dir = out ?? join('data', spec.name);
      session.resumeWith(`continue with: orrery simulate dataset ${path} -o ${dir}`);
      const bar = openProgress('clips', spec.clips + spec.heldOut, { quiet });
      const { workers } = options;
      const work = { spec, dir, signal: session.signal, ...(workers === undefined ? {} : { workers }) };
      for await (const event of writeDataset(work)) {
        if (json && event.type !== 'progress') session.print(JSON.stringify(event));
        if (event.type === 'progress') {
          const text = `${(event.clipsPerSecond * 60).toFixed(0)} clips/min`;
          bar.update(event.done, { text, etaSeconds: event.etaSeconds });
        }
        if (event.type === 'done') {
          bar.clear();
          if (!quiet) session.note(`${event.clips} clips, ${event.clipsPerMinute.toFixed(0)} clips per minute`);
          if (!json) session.print(event.dir);
        }
      }
    });
}

function checkCommand(session: Session): Command {
  return new Command('check')
    .description('run closed-form physics cases with the simulator; exit code 1 when one misses')
    .argument('<files...>', 'files of cases (JSON)')
    .addHelpText('after', '\nExample:\n  orrery simulate check cases/free_fall.json')
    .action(async (files: readonly string[], _options: object, command: Command) => {
      const { json } = globalsOf(command);
      const { parsePhysicsFamily, runPhysicsFamily } = await import('../../simulation/check/index.ts');
      const families = files.map((path) => parsePhysicsFamily(readFileSync(path, 'utf8'), basename(path)));
      const rows: string[][] = [['id', 'quantity', 'got', 'expected', 'tolerance', 'result']];
      let missed = 0;
      for (const family of families) {
        for await (const row of runPhysicsFamily(family, { signal: session.signal })) {
          if (!row.pass) missed++;
          if (json) session.print(JSON.stringify(row));
          const { id, quantity, got, expected, tolerance, pass } = row;
          rows.push([id, quantity, short(got), short(expected), short(tolerance), pass ? 'pass' : 'FAIL']);
        }
      }
      if (!json) for (const line of table(rows)) session.print(line);
      if (missed > 0) session.exitWith(1);
    });
}

const short = (value: number): string => String(Number(value.toPrecision(7)));

/** Reads a JSON file that the user named. */
function readJson(path: string): unknown {
  const text = readFileSync(path, 'utf8');
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OrreryError('data', `${path}: not JSON (${(cause as Error).message})`, { cause });
  }
}
