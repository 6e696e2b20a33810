// The worker thread that owns ONNX Runtime sessions and the arrays kept between runs. `session.run` blocks its thread, so
// no session lives anywhere else.
import { parentPort } from 'node:worker_threads';
import * as ort from 'onnxruntime-node';
import { assert, type DType, type ErrorCode, type NdArray, OrreryError, type TypedData, zeros } from '../base/index.ts';
import { compile, input, ProtoWriter } from '../graph/index.ts';
import type { Append, LoadRequest, Reply, Request, RunRequest } from './protocol.ts';

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

// The binding of 1.30 copies every CPU result of a run into a new ArrayBuffer, also one that was written into an array of
// ours: for training state that is a copy of everything at every step, in memory that has never been touched. It converts
// results in their order and stops with an error at one that is no tensor. So each CPU graph gets an empty sequence as its
// first result: the run is over by then, all results are in our arrays, and nothing is copied (docs/decisions/training-step.md).
const NO_COPY = '__no_copy';
const NO_COPY_ERROR = /non tensor type/i;

/** The model with an empty sequence as its first output: protobuf joins the two graph messages. */
function withoutCopies(onnx: Uint8Array): Uint8Array {
  const w = new ProtoWriter();
  w.message(7, (graph) => {
    graph.message(1, (node) => {
      node.string(2, NO_COPY);
      node.string(3, NO_COPY);
      node.string(4, 'SequenceEmpty');
    });
    graph.message(12, (output) => {
      output.string(1, NO_COPY);
      // TypeProto.sequence_type of float32 tensors.
      output.message(2, (type) => type.message(4, (s) => s.message(1, (t) => t.message(1, (e) => e.int(1, 1)))));
    });
  });
  const head = w.finish();
  const joined = new Uint8Array(head.length + onnx.length);
  joined.set(head);
  joined.set(onnx, head.length);
  return joined;
}

type Loaded = {
  session: ort.InferenceSession;
  readonly request: LoadRequest;
  /** Outputs that stay on the device. */
  onDevice: ReadonlySet<string>;
};
const sessions = new Map<number, Loaded>();
const state = new Map<string, ort.Tensor>();

async function create(r: LoadRequest, onDevice: ReadonlySet<string>): Promise<ort.InferenceSession> {
  const location = Object.fromEntries([...onDevice].map((name) => [name, 'gpu-buffer' as const]));
  const options: ort.InferenceSession.SessionOptions = {
    executionProviders: r.device === 'cpu' ? ['cpu'] : [r.device, 'cpu'],
    intraOpNumThreads: r.threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    // A planned block for all activations comes on top of what the first run allocated one by one.
    enableMemPattern: false,
    logSeverityLevel: 3,
    ...(onDevice.size === 0 ? {} : { preferredOutputLocation: location }),
    ...(r.profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: r.profile }),
    extra: {
      session: {
        ...(r.folder === undefined ? {} : { model_external_initializers_file_folder_path: r.folder }),
        ...(r.isPacked ? {} : { disable_prepacking: '1' }),
        // Spinning between runs burns a core that other work needs.
        intra_op: { allow_spinning: '1' },
        force_spinning_stop: '1',
      },
    },
  };
  try {
    return await ort.InferenceSession.create(r.device === 'cpu' ? withoutCopies(r.onnx) : r.onnx, options);
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
}

async function load(r: LoadRequest): Promise<void> {
  const none = new Set<string>();
  sessions.set(r.session, { session: await create(r, none), request: r, onDevice: none });
}

/** Where outputs go is fixed when a session is made: the first run that keeps outputs on a device makes it again. */
async function keepOnDevice(loaded: Loaded, names: readonly string[]): Promise<void> {
  if (loaded.request.device !== 'webgpu' || names.every((n) => loaded.onDevice.has(n))) return;
  const onDevice = new Set([...loaded.onDevice, ...names]);
  await loaded.session.release();
  loaded.session = await create(loaded.request, onDevice);
  loaded.onDevice = onDevice;
}

async function run(r: RunRequest): Promise<Record<string, NdArray>> {
  const loaded = sessions.get(r.session);
  assert(loaded !== undefined, `run of session ${r.session}, which is not loaded`);
  await keepOnDevice(loaded, Object.keys(r.keep));
  const isCpu = loaded.request.device === 'cpu';
  const feeds: Record<string, ort.Tensor> = {};
  for (const [name, value] of Object.entries(r.feeds)) feeds[name] = toOrt(value);
  for (const [name, key] of Object.entries(r.state)) {
    const kept = state.get(key);
    assert(kept !== undefined, `state ${key} is not set`);
    feeds[name] = kept;
  }
  const fetches: Record<string, ort.Tensor | null> = {};
  for (const name of [...r.fetch, ...Object.keys(r.append)]) fetches[name] = null;
  for (const [name, key] of Object.entries(r.keep)) {
    // The same tensor as feed and as fetch: ONNX Runtime writes the result over the old value.
    fetches[name] = (r.inPlace && isCpu ? state.get(key) : undefined) ?? null;
  }
  if (isCpu) return runInto(loaded, feeds, fetches, r);
  const results = await loaded.session.run(feeds, fetches as ort.InferenceSession.OnnxValueMapType);
  for (const [name, key] of Object.entries(r.keep)) {
    const [old, next] = [state.get(key), results[name]! as ort.Tensor];
    state.set(key, next);
    if (old !== undefined && old !== next && old.location === 'gpu-buffer') old.dispose();
  }
  for (const [name, place] of Object.entries(r.append)) appendRows(await read(results[name]! as ort.Tensor), place);
  const out: Record<string, NdArray> = {};
  for (const name of r.fetch) out[name] = await read(results[name]! as ort.Tensor);
  return out;
}

/** A CPU run that writes all results into arrays made here. */
async function runInto(
  loaded: Loaded,
  feeds: Record<string, ort.Tensor>,
  fetches: Record<string, ort.Tensor | null>,
  r: RunRequest,
): Promise<Record<string, NdArray>> {
  const made = new Map<string, NdArray>();
  for (const { name, isTensor, ...meta } of loaded.session.outputMetadata) {
    if (!isTensor || fetches[name] !== null) continue;
    const { type, shape } = meta as { type: ort.Tensor.Type; shape: readonly number[] };
    const dtype = DTYPE_OF.get(type);
    assert(dtype !== undefined, `ONNX Runtime gives a tensor of type ${type}`);
    const value = zeros(dtype, shape);
    made.set(name, value);
    fetches[name] = toOrt(value);
  }
  fetches[NO_COPY] = null;
  try {
    await loaded.session.run(feeds, fetches as ort.InferenceSession.OnnxValueMapType);
  } catch (error) {
    if (!NO_COPY_ERROR.test(String((error as Error).message))) throw error;
  }
  for (const [name, key] of Object.entries(r.keep)) state.set(key, fetches[name]!);
  for (const [name, place] of Object.entries(r.append)) appendRows(made.get(name)!, place);
  return Object.fromEntries(r.fetch.map((name) => [name, made.get(name) ?? fromOrt(fetches[name]!)]));
}

/** Copies the first rows of `part` along an axis into a state array. */
function appendRows(part: NdArray, { state: key, axis, at, count = part.shape[axis]! }: Append): void {
  const target = state.get(key);
  assert(target !== undefined && target.location === 'cpu', `state ${key} is not set in main memory`);
  const rows = target.dims[axis]!;
  const fits =
    DTYPE_OF.get(target.type) === part.dtype &&
    target.dims.length === part.shape.length &&
    part.shape.every((d, i) => i === axis || d === target.dims[i]) &&
    count <= part.shape[axis]! &&
    at + count <= rows;
  assert(fits, `rows ${at} to ${at + count} of state ${key} [${target.dims}] from [${part.shape}]`);
  const inner = part.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = part.shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const from = part.data as Float32Array;
  const to = target.data as Float32Array;
  for (let i = 0; i < outer; i++) {
    const start = i * part.shape[axis]! * inner;
    to.set(from.subarray(start, start + count * inner), (i * rows + at) * inner);
  }
}

const readers = new Map<string, Promise<ort.InferenceSession>>();

/** A tensor's numbers. One on the device goes through an identity graph: `getData()` ends the process in 1.30. */
async function read(t: ort.Tensor): Promise<NdArray> {
  if (t.location !== 'gpu-buffer') return fromOrt(t);
  const dtype = DTYPE_OF.get(t.type);
  assert(dtype !== undefined, `ONNX Runtime gave a tensor of type ${t.type}`);
  const key = `${dtype} ${t.dims}`;
  let reader = readers.get(key);
  if (reader === undefined) {
    const x = input('x', t.dims, dtype);
    reader = ort.InferenceSession.create(compile({ y: x }).onnx, { executionProviders: ['webgpu'] });
    readers.set(key, reader);
  }
  const { y } = await (await reader).run({ x: t });
  return fromOrt(y as ort.Tensor);
}

function dropState(name: string): void {
  const old = state.get(name);
  state.delete(name);
  if (old?.location === 'gpu-buffer') old.dispose();
}

async function handle(request: Request): Promise<unknown> {
  switch (request.type) {
    case 'load':
      return load(request);
    case 'run':
      return run(request);
    case 'unload': {
      const loaded = sessions.get(request.session);
      sessions.delete(request.session);
      await loaded?.session.release();
      return undefined;
    }
    case 'setState':
      dropState(request.name);
      state.set(request.name, toOrt(request.value));
      return undefined;
    case 'getState': {
      const kept = state.get(request.name);
      return kept === undefined ? undefined : read(kept);
    }
    case 'dropState':
      dropState(request.name);
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
