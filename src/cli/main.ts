#!/usr/bin/env node
// Entry of the `orrery` command: runs it, prints errors as one line and sets the exit code. No logic the library lacks.
import { CommanderError } from 'commander';
import { exitCodeOf, OrreryError } from '../base/index.ts';
import { renameFlags } from './aliases.ts';
import { INTERRUPTED, watchInterrupt } from './interrupt.ts';
import { createProgram } from './program.ts';
import { paint, type Session } from './session.ts';

const note = (line: string): void => void process.stderr.write(`${line}\n`);

// A reader that has seen enough (`orrery … | head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
}

let resumeHint: string | undefined;
const interrupt = watchInterrupt(note);
const session: Session = {
  signal: interrupt.signal,
  resumeWith: (hint) => {
    resumeHint = hint;
  },
  print: (line) => void process.stdout.write(`${line}\n`),
  note,
  exitWith: (code) => {
    process.exitCode = code;
  },
};

/** Control characters and those that turn the direction of text, but for line ends and tabs. */
const CONTROL = /(?![\n\t])[\p{Cc}\p{Bidi_Control}]/gu;
const isDebug = process.argv.includes('--debug');

try {
  await createProgram(session).parseAsync(renameFlags(process.argv.slice(2), note), { from: 'user' });
} catch (error) {
  process.exitCode = report(error);
} finally {
  interrupt.dispose();
}

/** Prints an error for people, and as JSON on stdout with --json. Returns the exit code. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return reportUsage(error);
  if (interrupt.signal.aborted) {
    note(resumeHint === undefined ? 'stopped' : `stopped; ${resumeHint}`);
    return INTERRUPTED;
  }
  const known = error instanceof OrreryError ? error : systemError(error);
  const message = known?.message ?? `unexpected: ${error instanceof Error ? error.message : String(error)}`;
  const code = known?.code ?? 'internal';
  say(code, known === undefined && !isDebug ? `${message}; run again with --debug for the trace` : message);
  if (isDebug && error instanceof Error) note(traceOf(error));
  return known === undefined ? 1 : exitCodeOf(known);
}

function say(code: string, message: string): void {
  note(`${paint('red', 'error:', process.stderr)} ${printable(message)}`);
  if (process.argv.includes('--json')) session.print(JSON.stringify({ error: { code, message } }));
}

/** Control characters, which a terminal would obey, as escapes: a message may quote the bytes of any file or name. */
function printable(message: string): string {
  return message.replace(CONTROL, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

/** Commander's own complaints: unknown commands and flags, missing arguments. Help and version are no errors. */
function reportUsage(error: CommanderError): number {
  if (error.exitCode === 0) return 0;
  if (error.code === 'commander.help') return 2;
  say('usage', error.message.replace(/^error: /, '').replace(/\n+/g, ' '));
  note('orrery --help lists the commands, orrery COMMAND --help the flags of one');
  return 2;
}

/** Errors of the file system that a user can act on. */
function systemError(error: unknown): OrreryError | undefined {
  const { code, path } = (error ?? {}) as NodeJS.ErrnoException;
  const where = path ?? 'a file';
  switch (code) {
    case 'ENOENT':
      return new OrreryError('data', `${where} is not there; check the path`, { cause: error });
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new OrreryError('disk', `no permission for ${where}; choose another folder with -o`, { cause: error });
    case 'ENOSPC':
    case 'EDQUOT':
      return new OrreryError('disk', `the disk is full (${where}); free some space or choose another folder with -o`, {
        cause: error,
      });
    case 'EISDIR':
      return new OrreryError('data', `${where} is a folder, a file is needed`, { cause: error });
    case 'ENOTDIR':
    case 'EEXIST':
      return new OrreryError('disk', `${where} is a file where a folder is needed; choose another with -o`, {
        cause: error,
      });
    default:
      return undefined;
  }
}

function traceOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by ${traceOf(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}
