// The worker thread that owns ONNX Runtime sessions and the arrays kept between runs. `session.run` blocks its thread, so
// no session lives anywhere else.
import { parentPort } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { assert, type DType, type ErrorCode, type NdArray, OrreryError, type TypedData } from '../base/index.ts';
import type { Device, LoadRequest, Reply, Request, RunRequest } from './protocol.ts';

const ORT_TYPE: Readonly<Record<DType, ort.Tensor.Type>> = {
  f32: 'float32',
  f16: 'float16',
  bf16: 'uint16',
  i64: 'int64',
  i32: 'int32',
  u8: 'uint8',
  i8: 'int8',
  bool: 'bool',
};
const DTYPE_OF = new Map(Object.entries(ORT_TYPE).map(([dtype, type]) => [type, dtype as DType]));

// Node 24 has Float16Array and ONNX Runtime insists on it there; our arrays are the same bits in a Uint16Array.
type HalfView = new (buffer: ArrayBufferLike, offset: number, length: number) => Uint16Array;
const Half = (globalThis as { Float16Array?: HalfView }).Float16Array;

function toOrt(a: NdArray): ort.Tensor {
  const half = a.dtype === 'f16' && Half !== undefined;
  const data = half ? new Half(a.data.buffer, a.data.byteOffset, a.data.length) : a.data;
  return new ort.Tensor(ORT_TYPE[a.dtype], data as Float32Array, a.shape as number[]);
}

function fromOrt(t: ort.Tensor): NdArray {
  const dtype = DTYPE_OF.get(t.type);
  assert(dtype !== undefined, `ONNX Runtime gave a tensor of type ${t.type}`);
  const raw = t.data as unknown as TypedData;
  const view = dtype === 'f16' ? new Uint16Array(raw.buffer, raw.byteOffset, raw.length) : raw;
  return { dtype, shape: [...t.dims], data: view.slice() };
}

type Loaded = { readonly session: ort.InferenceSession; readonly device: Device };
const sessions = new Map<number, Loaded>();
const state = new Map<string, ort.Tensor>();

async function load(r: LoadRequest): Promise<{ inputs: readonly string[]; outputs: readonly string[] }> {
  const onDevice = r.device === 'cpu' ? {} : { preferredOutputLocation: undefined };
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: r.device === 'cpu' ? ['cpu'] : [r.device, 'cpu'],
    intraOpNumThreads: r.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    logSeverityLevel: 3,
    ...onDevice,
    ...(r.profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: r.profile }),
    extra: {
      session: {
        ...(r.folder === undefined ? {} : { model_external_initializers_file_folder_path: r.folder }),
        // Spinning between runs burns a core that other work needs.
        intra_op: { allow_spinning: '1' },
        force_spinning_stop: '1',
      },
    },
  };
  let session: ort.InferenceSession;
  try {
    session = await ort.InferenceSession.create(r.onnx, options);
  } catch (cause) {
    const text = String((cause as Error).message ?? cause);
    if (r.device !== 'cpu' && /provider|vulkan|webgpu|cuda|adapter|device/i.test(text)) {
      throw new OrreryError(
        'device',
        `device ${r.device} is not usable here: ${text}; use --device cpu, or run orrery doctor`,
      );
    }
    throw new OrreryError('internal', `ONNX Runtime refused the graph: ${text}`, { cause });
  }
  sessions.set(r.session, { session, device: r.device });
  return { inputs: session.inputNames, outputs: session.outputNames };
}

async function run(r: RunRequest): Promise<Record<string, NdArray>> {
  const loaded = sessions.get(r.session);
  assert(loaded !== undefined, `run of session ${r.session}, which is not loaded`);
  const feeds: Record<string, ort.Tensor> = {};
  for (const [name, value] of Object.entries(r.feeds)) feeds[name] = toOrt(value);
  for (const [name, key] of Object.entries(r.state)) {
    const kept = state.get(key);
    assert(kept !== undefined, `state ${key} is not set`);
    feeds[name] = kept;
  }
  const fetches: Record<string, ort.Tensor | null> = {};
  for (const name of r.fetch) fetches[name] = null;
  for (const [name, key] of Object.entries(r.keep)) {
    // The same tensor as feed and as fetch: ONNX Runtime writes the result over the old value.
    fetches[name] = (r.inPlace ? state.get(key) : undefined) ?? null;
  }
  const results = await loaded.session.run(feeds, fetches as ort.InferenceSession.OnnxValueMapType);
  for (const [name, key] of Object.entries(r.keep)) state.set(key, results[name]! as ort.Tensor);
  const out: Record<string, NdArray> = {};
  for (const name of r.fetch) out[name] = fromOrt(results[name]! as ort.Tensor);
  return out;
}

async function handle(request: Request): Promise<unknown> {
  switch (request.type) {
    case 'load':
      return load(request);
    case 'run':
      return run(request);
    case 'unload': {
      await sessions.get(request.session)?.session.release();
      sessions.delete(request.session);
      return undefined;
    }
    case 'setState':
      state.set(request.name, toOrt(request.value));
      return undefined;
    case 'getState': {
      const kept = state.get(request.name);
      return kept === undefined ? undefined : fromOrt(kept);
    }
    case 'dropState':
      state.delete(request.name);
      return undefined;
  }
}

function buffersOf(result: unknown): ArrayBuffer[] {
  if (typeof result !== 'object' || result === null) return [];
  const arrays = 'data' in result ? [result as NdArray] : (Object.values(result) as NdArray[]);
  return arrays.flatMap((a) => (ArrayBuffer.isView(a?.data) ? [a.data.buffer as ArrayBuffer] : []));
}

/** Out-of-memory messages of ONNX Runtime and V8. */
const isMemory = (text: string): boolean => /bad_alloc|out of memory|Failed to allocate|allocation failed/i.test(text);

let queue: Promise<void> = Promise.resolve();
parentPort!.on('message', ({ id, request }: { id: number; request: Request }) => {
  queue = queue.then(async () => {
    try {
      const result = await handle(request);
      parentPort!.postMessage({ id, ok: true, result } satisfies Reply, buffersOf(result));
    } catch (error) {
      const message = String((error as Error).message ?? error);
      const code: ErrorCode = error instanceof OrreryError ? error.code : isMemory(message) ? 'memory' : 'internal';
      parentPort!.postMessage({ id, ok: false, code, message } satisfies Reply);
    }
  });
});
