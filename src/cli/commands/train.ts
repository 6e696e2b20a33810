// `orrery train RECIPE`: trains or continues by a recipe; the library does the work, this prints it.

import { join } from 'node:path';
import { Command } from 'commander';
import { numberOption, wholeOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { bytes, duration, globalsOf, type Session, table } from '../session.ts';

type Options = {
  readonly out?: string;
  readonly data?: string;
  readonly hours?: number;
  readonly threads?: number;
  readonly nats?: string;
  readonly ackWaitSeconds?: number;
  readonly export?: string;
  readonly dryRun?: boolean;
  readonly gflops?: number;
  readonly findLr?: boolean;
};

export function trainCommand(session: Session): Command {
  return new Command('train')
    .description('train a model by a recipe, or continue where the last run stopped')
    .argument('<recipe>', 'recipe file, such as recipes/orrery-tokenizer.json')
    .option('-o, --out <dir>', 'folder of checkpoints, metrics and samples (default data/train/NAME)')
    .option('--data <dir>', 'folder that holds the data sets (default data)')
    .addOption(numberOption('--hours <h>', 'stop with a checkpoint after this many hours', 0, 10_000))
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .option('--nats <url>', 'train together with other machines over this NATS server (recipes with "parallel")')
    .addOption(
      numberOption(
        '--ack-wait-seconds <s>',
        'parallel: give the work of a silent process to another one after',
        1,
        3600,
      ),
    )
    .option('--dry-run', 'print parameters, work, memory, data and hours, and start nothing')
    .addOption(numberOption('--gflops <n>', 'with --dry-run: rate of the machine, instead of measuring', 0.001, 1e9))
    .option('--find-lr', 'raise the learning rate over 100 steps and print where the loss falls; nothing is kept')
    .option('--export <dir>', 'afterwards score the model on held-out clips and write its folder with a card')
    .addHelpText('after', '\nExample:\n  orrery train recipes/orrery-tokenizer.json --hours 1')
    .action(async (recipe: string, options: Options, command: Command) => train(session, recipe, options, command));
}

async function train(session: Session, recipe: string, options: Options, command: Command): Promise<void> {
  const { json, quiet } = globalsOf(command);
  if (options.dryRun === true) return dryRun(session, recipe, options, json);
  if (options.findLr === true) return findRate(session, recipe, options, { json, quiet });
  const library = await import('../../training/train.ts');
  const again = [`orrery train ${recipe}`];
  if (options.out !== undefined) again.push(`-o ${options.out}`);
  if (options.data !== undefined) again.push(`--data ${options.data}`);
  session.resumeWith(`continue with: ${again.join(' ')}`);
  let bar: ReturnType<typeof openProgress> | undefined;
  let reading: ReturnType<typeof openProgress> | undefined;
  for await (const event of library.train(recipe, { ...options, signal: session.signal })) {
    if (json) session.print(JSON.stringify(event));
    switch (event.type) {
      case 'start':
        if (!quiet) {
          const how = event.resumed ? `continues at step ${event.step}` : 'starts';
          const part = event.trained === event.parameters ? '' : `, ${event.trained.toLocaleString('en')} trained`;
          session.note(`${recipe}: ${event.parameters.toLocaleString('en')} parameters${part}, ${how}`);
        }
        break;
      case 'step':
        bar ??= openProgress('training', event.steps, { quiet });
        bar.update(event.step, {
          text: `loss ${event.loss.toPrecision(4)} · ${event.secondsPerStep.toPrecision(2)} s/step`,
          etaSeconds: event.etaSeconds,
        });
        break;
      case 'validation': {
        bar?.clear();
        const scores = Object.entries(event.scores).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
        const best = event.best ? ' (best so far)' : '';
        if (!quiet) session.note(`step ${event.step}: ${scores.join(', ')}${best}`);
        break;
      }
      case 'import':
        reading ??= openProgress('decoding videos', event.total, { quiet });
        reading.update(event.done);
        if (event.done === event.total) reading.clear();
        break;
      case 'skipped':
        reading?.clear();
        if (!quiet) session.note(`left out ${event.name}: ${event.why}`);
        break;
      case 'checkpoint':
        break;
      case 'done':
        bar?.clear();
        if (event.reason === 'canceled') {
          session.note(`stopped at step ${event.step}; continue with: ${again.join(' ')}`);
          session.exitWith(130);
        }
        if (event.reason === 'stalled' && !quiet) {
          session.note(
            `the held-out score got no better any more; the best state is in ${join(event.path, '..', '..', 'best')}`,
          );
        }
        if (event.reason === 'time' && !quiet) session.note(`time is up; continue with: ${again.join(' ')}`);
        if (!json) session.print(event.path);
        if (options.export !== undefined && event.reason !== 'canceled') {
          if (!quiet) session.note(`scoring and writing ${options.export}`);
          const { step } = await library.exportTrained(recipe, options.export, options);
          if (json) session.print(JSON.stringify({ type: 'exported', step, dir: options.export }));
          else session.print(options.export);
        }
        break;
    }
  }
}

const whole = (n: number): string => Math.round(n).toLocaleString('en');

async function dryRun(session: Session, recipe: string, options: Options, json: boolean): Promise<void> {
  const { estimateTraining } = await import('../../training/estimate.ts');
  const e = await estimateTraining(recipe, { ...options, signal: session.signal });
  if (json) return session.print(JSON.stringify(e));
  const { memory: m, data: d, rate: r } = e;
  const rows = [
    ['model', e.from === undefined ? e.name : `${e.name}, from ${e.from}`],
    [
      'parameters',
      e.trained === e.parameters ? whole(e.parameters) : `${whole(e.parameters)}, ${whole(e.trained)} of them trained`,
    ],
    ['a step', `${e.batch} samples, ${(e.flopsPerStep / 1e9).toPrecision(3)} GFLOP`],
    ['steps', e.stepsDone > 0 ? `${whole(e.steps)}, ${whole(e.stepsDone)} of them done` : whole(e.steps)],
    [
      'memory',
      `${bytes(m.needBytes)}: state ${bytes(m.stateBytes)}, activations ${bytes(m.activationBytes)}, data ${bytes(m.dataBytes)}; ${bytes(m.availableBytes)} are free`,
    ],
    [
      'data',
      `${whole(d.clips)} clips of ${d.sets.join(' and ')} (${whole(d.frames)} frames), ${whole(d.heldOutClips)} held out, ${bytes(d.bytes)}; each seen ${d.passes.toPrecision(2)} times`,
    ],
    [
      'disk',
      `checkpoints ${bytes(e.disk.checkpointBytes)}${e.disk.latentBytes > 0 ? `, latents ${bytes(e.disk.latentBytes)}` : ''}`,
    ],
    ...(e.clipsToEncode > 0 ? [['first', `${whole(e.clipsToEncode)} clips to encode`]] : []),
    [
      'rate',
      `${r.gflops.toPrecision(3)} GFLOP/s (${r.source === 'given' ? 'as given' : 'measured on this machine now'}), ${r.secondsPerStep.toPrecision(3)} s a step`,
    ],
    ['time left', `${duration(e.hours * 3600)} without validations`],
  ];
  for (const line of table(rows)) session.print(line);
  if (m.needBytes > m.availableBytes) session.note('this needs more memory than is free: use a smaller batch');
}

async function findRate(
  session: Session,
  recipe: string,
  options: Options,
  { json, quiet }: { json: boolean; quiet: boolean },
): Promise<void> {
  const { findLearningRate } = await import('../../training/find-rate.ts');
  for await (const event of findLearningRate(recipe, { ...options, signal: session.signal })) {
    if (json) session.print(JSON.stringify(event));
    else if (event.type === 'rate') {
      if (!quiet && event.step % 10 === 0) {
        session.note(`step ${event.step}: rate ${event.lr.toExponential(2)}, loss ${event.smooth.toPrecision(4)}`);
      }
    } else
      session.print(`rate ${event.lr.toExponential(2)} (the loss blows up above ${event.highest.toExponential(2)})`);
  }
}
