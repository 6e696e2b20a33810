// `orrery train RECIPE`: trains or continues by a recipe; the library does the work, this prints it.
import { Command } from 'commander';
import { numberOption, wholeOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { globalsOf, type Session } from '../session.ts';

type Options = {
  readonly out?: string;
  readonly data?: string;
  readonly hours?: number;
  readonly threads?: number;
  readonly export?: string;
};

export function trainCommand(session: Session): Command {
  return new Command('train')
    .description('train a model by a recipe, or continue where the last run stopped')
    .argument('<recipe>', 'recipe file, such as recipes/orrery-tokenizer.json')
    .option('-o, --out <dir>', 'folder of checkpoints, metrics and samples (default data/train/NAME)')
    .option('--data <dir>', 'folder that holds the data sets (default data)')
    .addOption(numberOption('--hours <h>', 'stop with a checkpoint after this many hours', 0, 10_000))
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .option('--export <dir>', 'afterwards score the model on held-out clips and write its folder with a card')
    .addHelpText('after', '\nExample:\n  orrery train recipes/orrery-tokenizer.json --hours 1')
    .action(async (recipe: string, options: Options, command: Command) => train(session, recipe, options, command));
}

async function train(session: Session, recipe: string, options: Options, command: Command): Promise<void> {
  const { json, quiet } = globalsOf(command);
  const library = await import('../../training/train.ts');
  const again = [`orrery train ${recipe}`];
  if (options.out !== undefined) again.push(`-o ${options.out}`);
  if (options.data !== undefined) again.push(`--data ${options.data}`);
  session.resumeWith(`continue with: ${again.join(' ')}`);
  let bar: ReturnType<typeof openProgress> | undefined;
  for await (const event of library.train(recipe, { ...options, signal: session.signal })) {
    if (json) session.print(JSON.stringify(event));
    switch (event.type) {
      case 'start':
        if (!quiet) {
          const how = event.resumed ? `continues at step ${event.step}` : 'starts';
          session.note(`${recipe}: ${event.parameters.toLocaleString('en')} parameters, ${how}`);
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
      case 'checkpoint':
        break;
      case 'done':
        bar?.clear();
        if (event.reason === 'canceled') {
          session.note(`stopped at step ${event.step}; continue with: ${again.join(' ')}`);
          session.exitWith(130);
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
