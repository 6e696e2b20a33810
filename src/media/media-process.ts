// Child processes that run `worker.ts`: started on demand, one job at a time, kept idle for the next job, killed on abort,
// stall or early stop. A crash costs the one job that ran.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex, Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { OrreryError, throwIfAborted } from '../base/index.ts';
import type { RunOptions } from './backend-types.ts';
import { fileError } from './check-file.ts';
import type { Failure, Job } from './jobs.ts';
import { jsonBytes, jsonOf, MESSAGE, type Message, MessageReader, writeMessage } from './wire.ts';

// Child processes cannot load TypeScript on every Node version: run the compiled file.
const WORKER = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../dist/src/media/worker.js' : './worker.js', import.meta.url),
);

const MAX_IDLE = 2;
const IDLE_MS = 20_000;
const idle: MediaProcess[] = [];

/** One child process with its channel. */
class MediaProcess {
  readonly #child: ChildProcess;
  readonly #channel: Duplex & { ref?(): void; unref?(): void };
  readonly #stderr: Readable & { ref?(): void; unref?(): void };
  readonly #reader: MessageReader;
  #stderrTail = '';
  #exit: string | undefined;
  #isStalled = false;
  readonly #clocks = new Set<NodeJS.Timeout>();
  #idleTimer: NodeJS.Timeout | undefined;
  /** Settles when the process is gone. */
  readonly #gone: Promise<void>;

  constructor() {
    this.#child = spawn(process.execPath, [WORKER], { stdio: ['ignore', 'ignore', 'pipe', 'pipe'], windowsHide: true });
    this.#channel = this.#child.stdio[3] as Duplex;
    this.#stderr = this.#child.stderr!;
    this.#reader = new MessageReader(this.#channel);
    this.#stderr.on('data', (text) => {
      this.#stderrTail = (this.#stderrTail + String(text)).slice(-2000);
    });
    this.#gone = new Promise((resolve) => {
      this.#child.on('error', (error) => {
        this.#exit = error.message;
        resolve();
      });
      this.#child.on('exit', (code, signal) => {
        this.#exit ??= signal === null ? `exit code ${code}` : `signal ${signal}`;
        resolve();
      });
    });
  }

  get isAlive(): boolean {
    return this.#exit === undefined;
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Waits for work without keeping the program alive. */
  rest(): void {
    this.#child.unref();
    this.#channel.unref?.();
    this.#stderr.unref?.();
    this.#idleTimer = setTimeout(() => {
      idle.splice(idle.indexOf(this), 1);
      this.kill();
    }, IDLE_MS).unref();
  }

  wake(): void {
    clearTimeout(this.#idleTimer);
    this.#child.ref();
    this.#channel.ref?.();
  }

  /** Runs one wait under the stall clock; the clock starts anew at each sign of life. */
  async watched<T>(stallSeconds: number, work: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.#isStalled = true;
      this.kill();
    }, stallSeconds * 1000);
    this.#clocks.add(timer);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
      this.#clocks.delete(timer);
    }
  }

  async send(kind: number, payload: Uint8Array | undefined, options: RunOptions, name: string): Promise<void> {
    try {
      await this.watched(options.stallSeconds, () => writeMessage(this.#channel, kind, payload));
    } catch (error) {
      await this.#explainEnd(options, name, error);
    }
  }

  /** The next message that is not a sign of life. Throws when the process ends or stalls. */
  async receive(options: RunOptions, name: string, place?: (byteLength: number) => Uint8Array): Promise<Message> {
    for (;;) {
      const message = await this.#reader.next(place);
      for (const clock of this.#clocks) clock.refresh();
      if (message === undefined) await this.#explainEnd(options, name);
      else if (message.kind !== MESSAGE.alive) return message;
    }
  }

  async #explainEnd(options: RunOptions, name: string, cause?: unknown): Promise<never> {
    this.kill();
    await this.#gone;
    throwIfAborted(options.signal);
    if (this.#isStalled)
      throw fileError(
        name,
        `no progress for ${options.stallSeconds} s, so the media process was ended`,
        'a file that decodes steadily',
        'check the disk, or convert the file with ffmpeg',
      );
    throw new OrreryError(
      'data',
      `${JSON.stringify(name)}: the media process crashed (${this.#exit}); need a file that FFmpeg can handle; try again with backend "ffmpeg", or convert the file`,
      { cause, details: { path: name, exit: this.#exit, stderr: this.#stderrTail } },
    );
  }
}

/** A job in progress on one process. */
export type RunningJob = {
  send(kind: number, payload?: Uint8Array): Promise<void>;
  receive(place?: (byteLength: number) => Uint8Array): Promise<Message>;
  /** The child's answer, with no clock: it may take as long as the caller needs to make pictures. */
  listen(): Promise<Message>;
  /** Puts a wait under the stall clock. */
  watched<T>(work: () => Promise<T>): Promise<T>;
};

/**
 * Runs one job. The process goes back to the idle list only when `work` returns; leaving by an error or by an early
 * stop kills it, which also stops everything inside.
 * @param name file name for messages
 */
export async function* runJob<T, R>(
  job: Job,
  name: string,
  options: RunOptions,
  work: (running: RunningJob) => AsyncGenerator<T, R, undefined>,
): AsyncGenerator<T, R, undefined> {
  throwIfAborted(options.signal);
  const child = takeIdle() ?? new MediaProcess();
  const abort = (): void => child.kill();
  options.signal?.addEventListener('abort', abort, { once: true });
  let isClean = false;
  try {
    const listen = async (place?: (byteLength: number) => Uint8Array): Promise<Message> => {
      const message = await child.receive(options, name, place);
      if (message.kind !== MESSAGE.failed) return message;
      // After a failed decode or probe the child waits for the next job; an encode may still have pictures in its pipe.
      isClean = job.op !== 'encode';
      throw errorOf(jsonOf(message.payload) as Failure, name);
    };
    const running: RunningJob = {
      send: (kind, payload) => child.send(kind, payload, options, name),
      receive: (place) => child.watched(options.stallSeconds, () => listen(place)),
      listen,
      watched: (work) => child.watched(options.stallSeconds, work),
    };
    await running.send(MESSAGE.job, jsonBytes(job));
    const result = yield* work(running);
    isClean = true;
    return result;
  } finally {
    options.signal?.removeEventListener('abort', abort);
    if (isClean && child.isAlive && options.signal?.aborted !== true && idle.length < MAX_IDLE) {
      child.rest();
      idle.push(child);
    } else child.kill();
  }
}

function takeIdle(): MediaProcess | undefined {
  for (let child = idle.pop(); child !== undefined; child = idle.pop()) {
    child.wake();
    if (child.isAlive) return child;
  }
  return undefined;
}

/** Runs a job that has one answer and no pictures. */
export async function askOnce(job: Job, name: string, options: RunOptions): Promise<unknown> {
  const steps = runJob(job, name, options, async function* (running) {
    const message = await running.receive();
    yield* [];
    return jsonOf(message.payload);
  });
  for (;;) {
    const step = await steps.next();
    if (step.done) return step.value;
  }
}

function errorOf(failure: Failure, name: string): OrreryError {
  if (failure.kind === 'file')
    return fileError(
      name,
      failure.found,
      'a complete file in a common format',
      failure.next ?? 'check it with another player, or convert it with ffmpeg',
    );
  if (failure.kind === 'disk')
    return new OrreryError(
      'disk',
      `${JSON.stringify(name)}: ${failure.found}; need a writable folder with free space; free some space or choose another folder`,
      { details: { path: name } },
    );
  return new OrreryError('internal', `${JSON.stringify(name)}: ${failure.found}; please report this`, {
    details: { path: name },
  });
}

/** Ends all idle media processes at once (they also end by themselves after 20 s, or with the program). */
export function stopIdleMediaProcesses(): void {
  for (const child of idle.splice(0)) child.kill();
}
