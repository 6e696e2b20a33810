// The command tree. Each command lives in its own file and loads its library when it runs, so that help is instant.
import { Command } from 'commander';
import { VERSION } from '../hub/index.ts';
import { curateCommand } from './commands/curate.ts';
import { demoCommand } from './commands/demo.ts';
import { doctorCommand } from './commands/doctor.ts';
import { evaluateCommand } from './commands/evaluate.ts';
import { generateCommand } from './commands/generate.ts';
import { guardCommand } from './commands/guard.ts';
import { modelsCommand } from './commands/models.ts';
import { runsCommand } from './commands/runs.ts';
import { selftestCommand } from './commands/selftest.ts';
import { simulateCommand } from './commands/simulate.ts';
import { stepCommand } from './commands/step.ts';
import { tokenizeCommand } from './commands/tokenize.ts';
import { trainCommand } from './commands/train.ts';
import type { Session } from './session.ts';

const SILENT: Session = {
  signal: new AbortController().signal,
  resumeWith: () => {},
  print: () => {},
  note: () => {},
  exitWith: () => {},
};

/** Builds the `orrery` command. Without a session it can be inspected but prints nothing. */
export function createProgram(session: Session = SILENT): Command {
  const program = new Command('orrery')
    .description(
      'World foundation models for physical AI: simulate, tokenize, train and generate worlds on any machine.',
    )
    .version(`orrery ${VERSION}`, '-V, --version', 'print the version')
    .option('--json', 'print results as JSON lines')
    .option('-q, --quiet', 'no progress')
    .option('--debug', 'print the trace of an error')
    .option('--no-color', 'no colours (NO_COLOR=1 does the same)')
    .helpCommand('help [command]', 'help for a command')
    .addHelpText('after', '\nExample:\n  orrery generate "a red ball rolls down a ramp" --seed 7');
  const commands = [
    demoCommand,
    generateCommand,
    stepCommand,
    evaluateCommand,
    tokenizeCommand,
    curateCommand,
    trainCommand,
    simulateCommand,
    selftestCommand,
    guardCommand,
    modelsCommand,
    runsCommand,
    doctorCommand,
  ];
  for (const command of commands) program.addCommand(command(session));
  configure(program);
  return program;
}

const rootOf = (command: Command): Command => (command.parent === null ? command : rootOf(command.parent));

/** Options that commander does not hand down by itself. */
function configure(command: Command): void {
  command.configureHelp({
    showGlobalOptions: command.parent !== null,
    helpWidth: 100,
    // Those of the program alone: the flags of a parent command such as `curate` mean nothing to its parts.
    visibleGlobalOptions: (one) => rootOf(one).options.filter((option) => !option.hidden),
  });
  command.helpOption('-h, --help', 'print this help');
  command.showSuggestionAfterError(true).exitOverride();
  command.configureOutput({ outputError: () => {} });
  for (const child of command.commands) configure(child);
}
