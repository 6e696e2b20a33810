// What a command gets from the process it runs in: where results and messages go, and the signal of Ctrl-C. Results are
// the only thing on stdout; everything a person reads while waiting goes to stderr.
import { styleText } from 'node:util';
import type { Command } from 'commander';

export type Session = {
  /** Aborted by the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** What is said after an interruption, such as `continue with: orrery train x.json`. The last call counts. */
  readonly resumeWith: (hint: string) => void;
  /** Writes one line of results to stdout. */
  readonly print: (line: string) => void;
  /** Writes one line for people to stderr. */
  readonly note: (line: string) => void;
  /** Ends the command with this exit code after it has printed its results. */
  readonly exitWith: (code: number) => void;
};

/** Flags that every command knows. */
export type GlobalOptions = {
  readonly json: boolean;
  readonly debug: boolean;
  readonly quiet: boolean;
};

export function globalsOf(command: Command): GlobalOptions {
  const { json = false, debug = false, quiet = false } = command.optsWithGlobals<Partial<GlobalOptions>>();
  return { json, debug, quiet };
}

type Style = Parameters<typeof styleText>[0];

/** Colours text for stdout or stderr; plain without a terminal, with NO_COLOR or with --no-color. */
export function paint(style: Style, text: string, stream: NodeJS.WriteStream): string {
  return hasColour(stream) ? styleText(style, text) : text;
}

function hasColour(stream: NodeJS.WriteStream): boolean {
  const { NO_COLOR, FORCE_COLOR } = process.env;
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false;
  if (process.argv.includes('--no-color')) return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== '0' && FORCE_COLOR !== '') return true;
  return stream.isTTY === true && process.env['TERM'] !== 'dumb';
}

/** A table with aligned columns; the first row is the heading. */
export function table(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((row) => (row[i] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  );
}

/** `1.5 GB`: decimal units, three digits. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = count;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : Number(value.toPrecision(3))} ${units[unit]}`;
}

/** `2 h 5 min`, `3 min 10 s`, `8 s`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return 'unknown';
  const s = Math.max(0, Math.round(seconds));
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
  if (s >= 60) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${s} s`;
}
