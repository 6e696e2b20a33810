// A stage worker in a process of its own: a crash, a hang, too much memory or too much time costs one attempt of the unit
// that ran, never the run. The process is started at the first unit and again after each loss.
import { type ChildProcess, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { OrreryError } from '../../base/index.ts';
import type { StageWorker, Unit } from './stage.ts';

// Child processes cannot load TypeScript on every Node version: run the compiled file.
const CHILD = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? '../../../dist/src/curation/engine/child.js' : './child.js',
    import.meta.url,
  ),
);

/** Limits of one worker process. */
export type Limits = {
  /** Seconds without a sign of life. Default 60. */
  readonly stallSeconds?: number;
  /** Resident memory. Default 1500 MB. */
  readonly memoryMb?: number;
  /** Seconds for one batch. Default 6 hours. */
  readonly batchSeconds?: number;
};

/** Options of `openIsolated`. */
export type IsolatedOptions = Limits & {
  /** URL of a module that exports `openWorker(options)`; a `.ts` source stands for its compiled file. */
  readonly module: URL;
  /** Handed to `openWorker`; plain JSON. */
  readonly options: unknown;
};

/** parent → child. */
export type ToChild =
  | { readonly t: 'open'; readonly module: string; readonly options: unknown }
  | { readonly t: 'run'; readonly units: readonly Unit[] }
  | { readonly t: 'emitted'; readonly n: number };

/** child → parent. */
export type FromChild =
  | { readonly t: 'emit'; readonly n: number; readonly unit: Unit; readonly parent: string }
  | { readonly t: 'fail'; readonly id: string; readonly error: SentError }
  | { readonly t: 'alive' }
  | { readonly t: 'done' }
  | { readonly t: 'thrown'; readonly error: SentError };

/** An error between processes. */
export type SentError = { readonly code: string; readonly message: string; readonly details?: Record<string, unknown> };

/** Opens a worker that runs in a child process. */
export function openIsolated(options: IsolatedOptions): StageWorker {
  const { stallSeconds = 60, memoryMb = 1500, batchSeconds = 6 * 3600 } = options;
  let child: ChildProcess | undefined;
  const module = options.module.href.endsWith('.ts')
    ? options.module.href.replace('/src/', '/dist/src/').replace(/\.ts$/, '.js')
    : options.module.href;

  const start = (): ChildProcess => {
    const started = fork(CHILD, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], execArgv: [] });
    started.stderr?.resume();
    started.send({ t: 'open', module, options: options.options } satisfies ToChild);
    return started;
  };

  return {
    process: (units, io) =>
      new Promise((resolve, reject) => {
        child ??= start();
        const running = child;
        let reason: OrreryError | undefined;
        let lastLife = Date.now();
        const began = Date.now();
        const kill = (why: OrreryError): void => {
          reason ??= why;
          running.kill('SIGKILL');
        };
        const watch = setInterval(() => {
          const now = Date.now();
          if (now - lastLife > stallSeconds * 1000)
            kill(lost('data', `no progress for ${stallSeconds} s, so its process was ended`));
          if (now - began > batchSeconds * 1000)
            kill(lost('data', `not finished after ${batchSeconds} s, so its process was ended`, false));
          const rss = residentMb(running.pid);
          if (rss > memoryMb) kill(lost('memory', `its process took ${rss} MB, more than the ${memoryMb} MB allowed`));
        }, 1000);
        const abort = (): void => kill(new OrreryError('canceled', 'canceled'));
        io.signal.addEventListener('abort', abort, { once: true });
        const finish = (error?: unknown): void => {
          clearInterval(watch);
          io.signal.removeEventListener('abort', abort);
          running.off('message', hear).off('exit', gone).off('error', gone);
          if (error === undefined) resolve();
          else reject(error);
        };
        const gone = (code: unknown, signal?: unknown): void => {
          if (child === running) child = undefined;
          const how = code instanceof Error ? code.message : signal ? `signal ${signal}` : `exit code ${code}`;
          finish(reason ?? lost('internal', `its process crashed (${how})`));
        };
        const hear = (message: unknown): void => {
          lastLife = Date.now();
          const m = message as FromChild;
          if (m.t === 'emit')
            void io.emit(m.unit, m.parent).then(
              () => running.connected && running.send({ t: 'emitted', n: m.n } satisfies ToChild),
              (error: unknown) => kill(error instanceof OrreryError ? error : lost('internal', String(error))),
            );
          else if (m.t === 'fail') io.fail(m.id, received(m.error));
          else if (m.t === 'alive') io.alive();
          else if (m.t === 'done') finish();
          else finish(received(m.error));
        };
        if (io.signal.aborted) abort();
        running.on('message', hear).on('exit', gone).on('error', gone);
        running.send({ t: 'run', units } satisfies ToChild, (error) => {
          if (error) gone(error);
        });
      }),
    dispose: () => {
      child?.kill('SIGKILL');
      child = undefined;
    },
  };
}

function lost(code: 'data' | 'internal' | 'memory', what: string, retryable = true): OrreryError {
  return new OrreryError(code, `${what}; need a file that decodes steadily; convert it with ffmpeg and try again`, {
    details: { retryable },
  });
}

function received({ code, message, details }: SentError): OrreryError {
  return new OrreryError(code as 'internal', message, details === undefined ? {} : { details });
}

/** Resident memory in MB; 0 where the system does not tell (limits then do not bind). */
function residentMb(pid: number | undefined): number {
  if (pid === undefined || process.platform !== 'linux') return 0;
  try {
    return Math.round((Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096) / 2 ** 20);
  } catch {
    return 0;
  }
}
