// `orrery evaluate`: scores videos of any origin, and models on benchmarks with ground truth.
import { Command } from 'commander';
import { InputError } from '../../base/index.ts';
import type {
  BenchmarkEvent,
  ConsistencyOptions,
  PhysicsOptions,
  PromptsOptions,
  Results,
  SpeedOptions,
} from '../../evaluation/index.ts';
import { deviceOption, wholeOption } from '../options.ts';
import { openProgress, type Progress } from '../progress.ts';
import { bytes, globalsOf, type Session, table } from '../session.ts';

export function evaluateCommand(session: Session): Command {
  return new Command('evaluate')
    .description('score videos or models: fidelity, time, geometry, physics')
    .addHelpText('after', '\nExamples:\n  orrery evaluate videos generated/ real/ --metrics psnr,ssim -o scores')
    .addCommand(physicsCommand(session))
    .addCommand(consistencyCommand(session))
    .addCommand(promptsCommand(session))
    .addCommand(tokenizerCommand(session))
    .addCommand(speedCommand(session))
    .addCommand(videosCommand(session));
}

type VideosOptions = {
  readonly metrics?: string;
  readonly skip?: number;
  readonly out?: string;
  readonly threads?: number;
};

function videosCommand(session: Session): Command {
  return new Command('videos')
    .description('compare generated videos with references of the same names')
    .argument('<generated>', 'video file or folder')
    .argument('<reference>', 'video file or folder')
    .option(
      '--metrics <list>',
      'psnr, psnr-video, ssim, ssim-gaussian, ms-ssim, temporal, flow, sampson, orrery-fd (default psnr,ssim,temporal)',
    )
    .addOption(
      wholeOption('--skip <n>', 'frames at the start that do not count, such as given ones (default 0)', 0, 100_000),
    )
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .option('-o, --out <dir>', 'folder for scores.json, clips.parquet, report.html and summary.png')
    .addHelpText('after', '\nExample:\n  orrery evaluate videos generated/ real/ --metrics psnr,ssim,flow -o scores')
    .action(async (generated: string, reference: string, options: VideosOptions, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { evaluateVideos, scoresOf, summarise } = await import('../../evaluation/index.ts');
      const { metrics, ...rest } = options;
      let bar: Progress | undefined;
      const events = evaluateVideos(generated, reference, {
        ...rest,
        ...(metrics === undefined ? {} : { metrics: metrics.split(',').map((m) => m.trim()) }),
        signal: session.signal,
      });
      for await (const event of events) {
        switch (event.type) {
          case 'started':
            bar = openProgress('clips', event.clips, { quiet });
            if (event.alone.length > 0)
              session.note(
                `${event.alone.length} files have no partner and are left out: ${event.alone.slice(0, 5).join(', ')}`,
              );
            break;
          case 'clip':
            bar?.update(event.index, { text: event.row.clip });
            for (const note of event.row.notes ?? []) session.note(`${event.row.clip}: ${note}`);
            break;
          case 'completed': {
            bar?.clear();
            const { results, files } = event;
            if (json) {
              session.print(JSON.stringify({ ...scoresOf(results), files: files ?? null }));
              break;
            }
            const rows = results.metrics.map((m) => {
              const s = summarise(results.rows, m.name);
              return [
                m.label,
                s.mean === null ? 'no value' : s.mean.toFixed(m.digits),
                m.unit,
                `${s.n} of ${s.n + s.undefinedCount} clips`,
              ];
            });
            const facts = (results.facts ?? []).map((f) => [
              f.name,
              typeof f.value === 'number' ? String(Number(f.value.toPrecision(5))) : (f.value ?? '-'),
              f.unit ?? '',
              f.note ?? '',
            ]);
            for (const line of table([['metric', 'mean', 'unit', 'of'], ...rows, ...facts])) session.print(line);
            if (files !== undefined) session.print(files.report);
            break;
          }
        }
      }
    });
}

type RunOptions = Omit<PhysicsOptions, 'out' | 'signal'> & { readonly out?: string };

/** Flags that every benchmark of a model has. */
function modelBenchmark(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .option('--model <name>', 'model name or folder; none measures the baselines alone', 'orrery-nano')
    .option('-o, --out <dir>', `folder of the run; the same command goes on with it (default runs/${name}-MODEL)`)
    .option('--quick', 'fewer clips: a first impression within minutes')
    .option('--compare <run...>', 'folders of finished runs to show beside')
    .addOption(deviceOption())
    .addOption(wholeOption('--threads <n>', 'threads (default: all cores)', 1, 1024));
}

/** `runs/physics-orrery-nano` unless told otherwise. */
const folderOf = (name: string, options: { readonly out?: string; readonly model: string }): string =>
  options.out ?? `runs/${name}-${options.model.replace(/\/+$/, '').split('/').pop()}`;

/** Means per system as a table, then where the report is. */
async function printResults(session: Session, results: Results, report: string, json: boolean): Promise<void> {
  const { scoresOf, summarise } = await import('../../evaluation/index.ts');
  if (json) {
    session.print(JSON.stringify({ ...scoresOf(results), report }));
    return;
  }
  const head = ['', ...results.metrics.map((m) => `${m.label}${m.unit === '' ? '' : ` (${m.unit})`}`)];
  const rows = results.systems.map((system) => {
    const own = results.rows.filter((r) => r.system === system);
    return [
      system,
      ...results.metrics.map((m) => {
        const s = summarise(own, m.name);
        return s.mean === null ? '-' : s.mean.toFixed(m.digits);
      }),
    ];
  });
  for (const line of table([head, ...rows])) session.print(line);
  for (const f of results.facts ?? []) {
    const value = typeof f.value === 'number' ? String(Number(f.value.toPrecision(4))) : (f.value ?? '-');
    session.print(`${f.name}: ${value}${f.unit === undefined ? '' : ` ${f.unit}`}`);
  }
  session.print(report);
}

function physicsCommand(session: Session): Command {
  return modelBenchmark('physics', 'eight physics scenarios with ground truth: pixels, objects, conservation')
    .addOption(wholeOption('--given <n>', 'true frames that the model sees, 1 or 9 (default 9)', 1, 1000))
    .addOption(wholeOption('--seeds <n>', 'scenes per scenario (default 25; 8 with --quick)', 1, 1000))
    .addHelpText('after', '\nExample:\n  orrery evaluate physics --model orrery-nano --quick -o runs/physics')
    .action(async (options: RunOptions, command: Command) => {
      const { json, quiet } = globalsOf(command);
      if (options.given !== undefined && options.given < 1) {
        throw new InputError('--given', { got: options.given, need: '1 or 9' }, 'usage');
      }
      const out = folderOf('physics', options);
      const { physicsBenchmark } = await import('../../evaluation/index.ts');
      session.resumeWith(`clips that are done stay in ${out}; the same command goes on`);
      await showBenchmark(session, physicsBenchmark({ ...options, out, signal: session.signal }), { json, quiet });
    });
}

/** Follows a benchmark with a progress line; prints its table at the end. */
async function showBenchmark(
  session: Session,
  events: AsyncIterable<BenchmarkEvent>,
  { json, quiet }: { readonly json: boolean; readonly quiet: boolean },
): Promise<void> {
  let bar: Progress | undefined;
  const began = performance.now();
  let fresh = 0;
  for await (const event of events) {
    if (event.type === 'started') {
      bar = openProgress('clips', event.clips, { quiet });
      if (!quiet) session.note(`${event.clips} clips, ${event.model}, in ${event.dir}`);
    } else if (event.type === 'clip') {
      if (!event.isReused) fresh++;
      const each = fresh === 0 ? 0 : (performance.now() - began) / 1000 / fresh;
      bar?.update(event.index, { text: `${event.id} ${event.text}`, etaSeconds: each * (event.total - event.index) });
    } else {
      bar?.clear();
      await printResults(session, event.results, event.files.report, json);
    }
  }
}

type ConsistencyFlags = Omit<ConsistencyOptions, 'out' | 'signal'> & { readonly out?: string };

function consistencyCommand(session: Session): Command {
  return modelBenchmark(
    'consistency',
    'still scenes, moving camera: epipolar error, recovered cameras, views made again',
  )
    .addOption(wholeOption('--given <n>', 'true frames that the model sees, 1 or 9 (default 9)', 1, 1000))
    .addOption(wholeOption('--seeds <n>', 'scenes (default 48; 12 with --quick)', 1, 1000))
    .option('--videos <folder>', 'other videos to measure beside, such as real ones')
    .addHelpText('after', '\nExample:\n  orrery evaluate consistency --model orrery-nano --quick -o runs/consistency')
    .action(async (options: ConsistencyFlags, command: Command) => {
      const { consistencyBenchmark } = await import('../../evaluation/index.ts');
      const out = folderOf('consistency', options);
      session.resumeWith(`clips that are done stay in ${out}; the same command goes on`);
      const events = consistencyBenchmark({ ...options, out, signal: session.signal });
      await showBenchmark(session, events, globalsOf(command));
    });
}

type PromptsFlags = Omit<PromptsOptions, 'out' | 'signal'> & { readonly out?: string };

function promptsCommand(session: Session): Command {
  return modelBenchmark('prompts', 'videos from sentences: colours, shapes, count and motion read back by a probe')
    .addOption(wholeOption('--seeds <n>', 'sentences (default 96; 24 with --quick)', 2, 10_000))
    .addHelpText('after', '\nExample:\n  orrery evaluate prompts --model orrery-nano --quick -o runs/prompts')
    .action(async (options: PromptsFlags, command: Command) => {
      const { promptsBenchmark } = await import('../../evaluation/index.ts');
      const out = folderOf('prompts', options);
      session.resumeWith(`clips that are done stay in ${out}; the same command goes on`);
      await showBenchmark(session, promptsBenchmark({ ...options, out, signal: session.signal }), globalsOf(command));
    });
}

type TokenizerFlags = {
  readonly model: string;
  readonly out?: string;
  readonly sizes?: string;
  readonly threads?: number;
};

function tokenizerCommand(session: Session): Command {
  return new Command('tokenizer')
    .description('encode and restore a folder of videos at several sizes')
    .argument('<videos>', 'folder of videos, or one video')
    .option('--model <name>', 'tokenizer name or folder', 'orrery-tokenizer')
    .option('--sizes <list>', 'longest sides in pixels (default 128,256)')
    .option('-o, --out <dir>', 'folder of the run; the same command goes on with it (default runs/tokenizer-MODEL)')
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .addHelpText('after', '\nExample:\n  orrery evaluate tokenizer clips/ --sizes 128,256 -o runs/tokenizer')
    .action(async (videos: string, options: TokenizerFlags, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { tokenizerBenchmark } = await import('../../evaluation/index.ts');
      const { model, sizes: list, threads } = options;
      const out = folderOf('tokenizer', options);
      const sizes = list?.split(',').map(Number);
      for (const size of sizes ?? []) {
        if (!Number.isInteger(size) || size < 16 || size > 4096) {
          throw new InputError(
            '--sizes',
            { got: list, need: 'whole numbers from 16 to 4096, such as 128,256' },
            'usage',
          );
        }
      }
      session.resumeWith(`videos that are done stay in ${out}; the same command goes on`);
      const events = tokenizerBenchmark({
        videos,
        model,
        out,
        signal: session.signal,
        ...(sizes === undefined ? {} : { sizes }),
        ...(threads === undefined ? {} : { threads }),
      });
      await showBenchmark(session, events, { json, quiet });
    });
}

type SpeedFlags = { readonly model: string; readonly device?: SpeedOptions['device']; readonly threads?: number };

function speedCommand(session: Session): Command {
  return new Command('speed')
    .description('time to the first clip, frames per second, memory, joules where readable')
    .option('--model <name>', 'model name or folder', 'orrery-nano')
    .addOption(deviceOption())
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .addHelpText('after', '\nExample:\n  orrery evaluate speed --model orrery-nano')
    .action(async (options: SpeedFlags, command: Command) => {
      const { json } = globalsOf(command);
      const { speedBenchmark } = await import('../../evaluation/index.ts');
      const r = await speedBenchmark({ ...options, signal: session.signal });
      if (json) {
        session.print(JSON.stringify(r));
        return;
      }
      const joules = r.joulesPerFrame === null ? 'not readable on this machine' : `${r.joulesPerFrame.toFixed(1)} J`;
      const rows = [
        ['model', `${r.model}, ${r.parameters} parameters`],
        ['loading', `${r.loadSeconds.toFixed(1)} s`],
        ['first clip', `${r.firstClipSeconds.toFixed(1)} s`],
        ['then', `${r.framesPerSecond.toFixed(2)} new frames/s`],
        ['peak memory', bytes(r.peakBytes)],
        ['energy per frame', joules],
      ];
      for (const line of table(rows)) session.print(line);
    });
}
