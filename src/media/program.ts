// Runs one `ffmpeg` or `ffprobe` process with clocks, abort and readable errors. Knows nothing of frames or plans.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { OrreryError, throwIfAborted } from '../base/index.ts';
import type { RunOptions } from './backend-types.ts';
import { fileError } from './check-file.ts';
import { ByteReader, drained } from './wire.ts';

/** A running program. `kill` is harmless after the end. */
export type Program = {
  /** Fills `target` from standard output; false at its end. */
  read(target: Uint8Array): Promise<boolean>;
  /** The next presentation time printed on descriptor 3, in seconds. */
  nextTime(): Promise<number>;
  /** Writes to standard input, with back pressure. */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes standard input and waits for success. */
  finish(): Promise<void>;
  /** Waits for the end after the last read; returns the number of errors that the program printed. */
  finishReading(): Promise<number>;
  /** Everything on standard output as text, once the program has ended well. */
  text(): Promise<string>;
  kill(): void;
};

/** Starts a program. `name` is the file that messages speak of. */
export function openProgram(
  command: 'ffmpeg' | 'ffprobe',
  args: readonly string[],
  name: string,
  options: RunOptions,
  pipes: { readonly hasInput?: boolean; readonly hasTimes?: boolean } = {},
): Program {
  throwIfAborted(options.signal);
  const extra = pipes.hasTimes ? (['pipe', 'pipe'] as const) : [];
  const child = spawn(command, args, {
    stdio: [pipes.hasInput ? 'pipe' : 'ignore', 'pipe', 'pipe', ...extra],
    windowsHide: true,
  });
  let messages = '';
  let errors = 0;
  let isStalled = false;
  let startError: NodeJS.ErrnoException | undefined;
  const ended = new Promise<number>((resolve) => {
    child.on('error', (error) => {
      startError = error;
      resolve(-1);
    });
    child.on('close', (code) => resolve(code ?? -1));
  });
  child.stderr?.on('data', (chunk) => {
    const text = String(chunk);
    errors += text.split('\n').filter(isDecodingError).length;
    messages = (messages + text).slice(-2000);
  });
  child.stdin?.on('error', () => {}); // the exit code tells
  const kill = (): void => {
    child.kill('SIGKILL');
  };
  options.signal?.addEventListener('abort', kill, { once: true });
  void ended.then(() => options.signal?.removeEventListener('abort', kill));

  const clocks = new Set<NodeJS.Timeout>();
  const watched = async <T>(work: () => Promise<T>): Promise<T> => {
    const clock = setTimeout(() => {
      isStalled = true;
      kill();
    }, options.stallSeconds * 1000);
    clocks.add(clock);
    try {
      return await work();
    } finally {
      clearTimeout(clock);
      clocks.delete(clock);
    }
  };
  (child.stdio[4] as Readable | undefined)?.on('data', () => {
    for (const clock of clocks) clock.refresh();
  });

  const times: number[] = [];
  let wakeTimes: (() => void) | undefined;
  const timeLines = child.stdio[3] as Readable | undefined;
  if (timeLines !== undefined) {
    createInterface({ input: timeLines }).on('line', (line) => {
      const pts = /\bpts:(-?\d+)/.exec(line)?.[1];
      if (pts !== undefined) times.push(Number(pts) / 1e6);
      wakeTimes?.();
    });
  }

  const explain = (code: number): never => {
    throwIfAborted(options.signal);
    const last = messages.trim().split('\n').at(-1)?.slice(0, 300) ?? '';
    if (startError?.code === 'ENOENT')
      throw new OrreryError(
        'unsupported',
        `no program "${command}" on the PATH; install ffmpeg, or run "npm install node-av"`,
      );
    if (isStalled)
      throw fileError(
        name,
        `no progress for ${options.stallSeconds} s, so ${command} was ended`,
        'a file that decodes steadily',
        'check the disk, or convert the file',
      );
    if (/no space left|permission denied|read-only/i.test(last))
      throw new OrreryError('disk', `${JSON.stringify(name)}: ${last}; need a writable folder with free space`, {
        details: { path: name },
      });
    throw fileError(
      name,
      `${command} failed (${last || `exit code ${code}`})`,
      'a complete file in a common format',
      'check it with another player, or convert it',
      startError,
    );
  };
  const succeed = async (): Promise<void> => {
    const code = await watched(() => ended);
    if (code !== 0) explain(code);
  };
  let reader: ByteReader | undefined;

  return {
    kill,
    read: (target) => {
      reader ??= new ByteReader(child.stdout as Readable);
      const bytes = reader;
      return watched(() => bytes.fill(target));
    },
    nextTime: () =>
      watched(async () => {
        while (times.length === 0) {
          if (timeLines === undefined || timeLines.destroyed) return explain(-1);
          await new Promise<void>((resolve) => {
            wakeTimes = resolve;
            timeLines.once('close', resolve);
          });
        }
        return times.shift()!;
      }),
    write: async (bytes) => {
      child.stdin!.write(bytes);
      try {
        await watched(() => drained(child.stdin!));
      } catch {
        explain(await ended);
      }
    },
    finish: async () => {
      child.stdin!.end();
      await succeed();
    },
    finishReading: async () => {
      await succeed();
      return errors;
    },
    text: async () => {
      let text = '';
      await watched(async () => {
        for await (const chunk of child.stdout!.setEncoding('utf8')) {
          text += chunk;
          for (const clock of clocks) clock.refresh();
        }
      });
      await succeed();
      return text;
    },
  };
}

/** Lines about damaged data; complaints of the raw output about equal time stamps are not. */
function isDecodingError(line: string): boolean {
  return /error|invalid|corrupt|missing|partial|conceal|truncat/i.test(line) && !/to muxer|monoton/i.test(line);
}

/** Runs a program to its end and returns its standard output. */
export async function collect(
  command: 'ffmpeg' | 'ffprobe',
  args: readonly string[],
  name: string,
  options: RunOptions,
): Promise<string> {
  const program = openProgram(command, args, name, options);
  try {
    return await program.text();
  } finally {
    program.kill();
  }
}
