// A runtime: one worker thread with ONNX Runtime sessions and arrays kept between runs.
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { assert, type NdArray, OrreryError, sizeOf, throwIfAborted } from '../base/index.ts';
import type { CompiledGraph } from '../graph/index.ts';
import { requireDevice } from './device.ts';
import type { Append, Device, Reply, Request } from './protocol.ts';

export type RuntimeOptions = {
  /** Default 'cpu'. */
  readonly device?: Device;
  /** Threads inside one run. Default: the number of cores. */
  readonly threads?: number;
};

export type LoadOptions = {
  /** Folder of the files that the graph's weights are read from. */
  readonly folder?: string;
  /** False: float32 weights are multiplied where they lie, without a copy in the kernels' own order. Default true. */
  readonly isPacked?: boolean;
  /** File prefix of an ONNX Runtime profile, for measuring. */
  readonly profile?: string;
};

export type RunOptions = {
  /** Outputs to return. Default: all that are not kept. */
  readonly fetch?: readonly string[];
  /** Graph input → state array of the runtime. */
  readonly state?: Readonly<Record<string, string>>;
  /** Graph output → state array that it replaces. */
  readonly keep?: Readonly<Record<string, string>>;
  /**
   * Write kept outputs over the memory of the state they replace (CPU). Safe only when each such output depends on
   * everything else that still reads the old value. Default false.
   */
  readonly inPlace?: boolean;
  /**
   * Graph output → rows of a state array that it overwrites after the run: how a cache of keys and values grows without its whole
   * being copied. The state stays in main memory.
   */
  readonly append?: Readonly<Record<string, Append>>;
  /** Move the buffers of the feeds to the worker instead of copying them; the caller must not use them again. */
  readonly moveFeeds?: boolean;
  /** Checked before the run starts; a run itself cannot be stopped, so one run should be one step. */
  readonly signal?: AbortSignal;
};

/** A loaded graph. */
export type Session = {
  readonly graph: CompiledGraph;
  /** Runs the graph once. Feeds and results are by graph input and output names. */
  run(feeds: Readonly<Record<string, NdArray>>, options?: RunOptions): Promise<Record<string, NdArray>>;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

/** Owner of one worker thread. */
export type Runtime = {
  readonly device: Device;
  readonly threads: number;
  load(graph: CompiledGraph, options?: LoadOptions): Promise<Session>;
  /** Sets a state array. `move` hands the buffer over instead of copying it; the caller must not use it again. */
  setState(name: string, value: NdArray, options?: { readonly move?: boolean }): Promise<void>;
  getState(name: string): Promise<NdArray | undefined>;
  dropState(name: string): Promise<void>;
  /** Ends the worker at once, also in the middle of a run. */
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

// Workers cannot load TypeScript on Node 20: under a test runner the compiled file is used.
const workerUrl = new URL(
  import.meta.url.endsWith('.ts') ? '../../dist/src/runtime/worker.js' : './worker.js',
  import.meta.url,
);

/** Starts a runtime. Nothing is loaded yet; a missing device shows at the first `load`. */
export function openRuntime(options: RuntimeOptions = {}): Runtime {
  const { device = 'cpu', threads = availableParallelism() } = options;
  const worker = new Worker(workerUrl);
  // The thread must not keep the process alive when nobody waits for it.
  worker.unref();
  const waiting = new Map<number, { resolve: (v: unknown) => void; reject: (e: Error) => void }>();
  let nextId = 0;
  let nextSession = 0;
  let ended: OrreryError | undefined;

  const failAll = (error: OrreryError): void => {
    ended ??= error;
    for (const { reject } of waiting.values()) reject(error);
    waiting.clear();
  };
  worker.on('message', (reply: Reply) => {
    const call = waiting.get(reply.id);
    waiting.delete(reply.id);
    if (waiting.size === 0) worker.unref();
    if (reply.ok) call?.resolve(reply.result);
    else call?.reject(new OrreryError(reply.code, reply.message));
  });
  worker.on('error', (cause) =>
    failAll(new OrreryError('internal', `the engine's worker thread failed: ${cause}`, { cause })),
  );
  worker.on('exit', () => failAll(new OrreryError('internal', "the engine's worker thread has ended")));

  const call = (request: Request, move: ArrayBuffer[] = []): Promise<unknown> => {
    if (ended !== undefined) return Promise.reject(ended);
    const id = nextId++;
    worker.ref();
    return new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, request }, move);
    });
  };

  const dispose = async (): Promise<void> => {
    failAll(new OrreryError('internal', 'the runtime has been disposed'));
    await worker.terminate();
  };

  return {
    device,
    threads,
    async load(graph, { folder, profile, isPacked = true } = {}) {
      await requireDevice(device);
      const session = nextSession++;
      await call({ type: 'load', session, onnx: graph.onnx, folder, device, threads, profile, isPacked });
      let open = true;
      const unload = async (): Promise<void> => {
        if (open && ended === undefined) await call({ type: 'unload', session });
        open = false;
      };
      return {
        graph,
        async run(
          feeds,
          { fetch, state = {}, keep = {}, append = {}, inPlace = false, moveFeeds = false, signal } = {},
        ) {
          assert(open, 'run of a disposed session');
          throwIfAborted(signal);
          for (const { name, dtype, shape } of graph.inputs) {
            const fed = feeds[name];
            assert(fed !== undefined || state[name] !== undefined, `input ${name} is not fed`);
            if (fed === undefined) continue;
            const fits =
              fed.dtype === dtype && sizeOf(fed.shape) === sizeOf(shape) && fed.shape.every((d, i) => d === shape[i]);
            assert(fits, `input ${name}: got ${fed.dtype} [${fed.shape}], the graph has ${dtype} [${shape}]`);
          }
          const wanted =
            fetch ?? graph.outputs.map((o) => o.name).filter((n) => keep[n] === undefined && append[n] === undefined);
          const move = moveFeeds ? [...new Set(Object.values(feeds).map((f) => f.data.buffer as ArrayBuffer))] : [];
          const result = await call({ type: 'run', session, feeds, state, fetch: wanted, keep, append, inPlace }, move);
          return result as Record<string, NdArray>;
        },
        dispose: unload,
        [Symbol.asyncDispose]: unload,
      };
    },
    setState: async (name, value, { move = false } = {}) =>
      void (await call({ type: 'setState', name, value }, move ? [value.data.buffer as ArrayBuffer] : [])),
    getState: async (name) => (await call({ type: 'getState', name })) as NdArray | undefined,
    dropState: async (name) => void (await call({ type: 'dropState', name })),
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
