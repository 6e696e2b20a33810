// Each network of a model as an ONNX file, and a manifest that a Python or C++ user needs nothing else beside.
import { copyFileSync, existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { DTYPE_BYTES, type DType, InputError, OrreryError, sizeOf, throwIfAborted } from '../base/index.ts';
import {
  createSafetensorsWriter,
  decodeTensor,
  diskError,
  makeFolder,
  openSafetensors,
  openTensors,
  type StoredDType,
  writeFileAtomic,
} from '../formats/index.ts';
import { type CompiledGraph, compile, type WeightSource } from '../graph/index.ts';
import { openModelFolder, sha256OfFile } from '../hub/index.ts';
import { findCheckpoint } from './find.ts';
import { requireFit, requireValues } from './fit.ts';
import { type ExportPlan, type ExportSize, ownPlan, publicPlan } from './onnx-networks.ts';
import { openCheckpoint } from './open.ts';
import { ownWeights } from './own.ts';
import { type CheckpointTensor, isFamily, type Tensors } from './types.ts';
import { tensorsOf } from './verify.ts';

export type ExportOptions = ExportSize & {
  /** Only operators of the ONNX standard; else also those of ONNX Runtime (`com.microsoft`). Default false. */
  readonly isStandard?: boolean;
  /** Weights in one file `weights.safetensors` beside the graphs, shared between them. Default: inside each graph. */
  readonly hasExternalData?: boolean;
  readonly signal?: AbortSignal;
};

export type ExportEvent =
  | {
      readonly type: 'network';
      readonly file: string;
      readonly sizeBytes: number;
      readonly operators: Readonly<Record<string, number>>;
    }
  | { readonly type: 'completed'; readonly dir: string; readonly manifest: string };

/** A protobuf message cannot be longer. */
const MAX_ONNX_BYTES = 2 ** 31 - 1_000_000;
/** What the graph writer states. */
const OPSET = 20;

/** Exports the model at `path` into the new folder `target`. */
export async function* exportOnnx(
  path: string,
  target: string,
  options: ExportOptions = {},
): AsyncGenerator<ExportEvent> {
  const { isStandard = false, hasExternalData = false, signal } = options;
  if (existsSync(target) && !(statSync(target).isDirectory() && readdirSync(target).length === 0)) {
    throw new InputError('target', {
      got: target,
      need: 'a folder that does not exist yet or is empty',
      why: 'nothing is overwritten',
    });
  }
  using model = openForExport(path, options);
  const temporary = join(dirname(resolve(target)), `.${basename(target)}.${process.pid}.partial`);
  rmSync(temporary, { recursive: true, force: true });
  makeFolder(temporary);
  try {
    const sources = hasExternalData ? externalWeights(temporary, model, signal) : innerWeights(model, signal);
    const networks: unknown[] = [];
    for (const network of model.plan.networks) {
      throwIfAborted(signal);
      const graph = compile(network.outputs, { standard: isStandard, weights: sources, name: network.name });
      const file = `${network.name}.onnx`;
      requireSize(graph, file);
      writeFileAtomic(join(temporary, file), graph.onnx);
      networks.push(describe(network.name, graph, network.meaning, join(temporary, file)));
      yield { type: 'network', file, sizeBytes: graph.onnx.length, operators: graph.operators };
      await new Promise((next) => setImmediate(next));
    }
    const weights = join(temporary, WEIGHTS);
    const manifest = {
      format: 'orrery-onnx',
      version: 1,
      model: model.name,
      kind: model.kind,
      licence: model.licence ?? 'not stated; that of the publisher of the weights',
      opset: OPSET,
      onlyStandardOperators: isStandard,
      ...(isStandard ? {} : { customOperators: 'com.microsoft, part of every ONNX Runtime' }),
      networks,
      ...(existsSync(weights)
        ? {
            weights: {
              file: WEIGHTS,
              sizeBytes: statSync(weights).size,
              sha256: sha256OfFile(weights),
              note: 'must lie beside the graphs, which name places in it',
            },
          }
        : {}),
      processing: model.plan.processing,
    };
    writeFileAtomic(join(temporary, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    try {
      if (existsSync(target)) rmSync(target, { recursive: true });
      renameSync(temporary, target);
    } catch (error) {
      throw diskError(error, 'write', target);
    }
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw diskErrorOr(error, target);
  }
  yield { type: 'completed', dir: target, manifest: join(target, 'manifest.json') };
}

const WEIGHTS = 'weights.safetensors';

const diskErrorOr = (error: unknown, target: string): unknown =>
  (error as NodeJS.ErrnoException).syscall === undefined ? error : diskError(error, 'write', target);

type Exportable = Disposable & {
  readonly name: string;
  readonly kind: string;
  readonly licence?: string;
  readonly plan: ExportPlan;
  readonly tensors: Tensors;
  /** A safetensors file that holds exactly these tensors under these names: it can be copied as it is. */
  readonly file?: string;
  readonly path: string;
};

function openForExport(path: string, size: ExportSize): Exportable {
  if (existsSync(join(path, 'model.json'))) {
    const { dir, record } = openModelFolder(path);
    const licence = record.licence === undefined ? {} : { licence: record.licence };
    const common = { name: record.name, kind: record.kind, ...licence, path };
    const file = join(dir, 'model.safetensors');
    if (ownWeights(record) !== undefined) {
      const source = openTensors(file);
      return {
        ...common,
        plan: ownPlan(record, size),
        tensors: tensorsOf(source),
        file,
        [Symbol.dispose]: () => source.close(),
      };
    }
    if (!isFamily(record.kind)) {
      throw new OrreryError(
        'unsupported',
        `${record.name} is a ${record.kind}, which has no export; tokenizers and world models have`,
      );
    }
    const checkpoint = openCheckpoint(path);
    requireFit(checkpoint.misfit, {
      path,
      network: `the ${record.kind} of model.json`,
      hint: 'Convert the model again',
    });
    return {
      ...common,
      plan: publicPlan(checkpoint.network, size, checkpoint.latents),
      tensors: checkpoint.tensors,
      file,
      [Symbol.dispose]: () => checkpoint.close(),
    };
  }
  const checkpoint = openCheckpoint(path);
  const { network, misfit } = checkpoint;
  requireFit(misfit, {
    path,
    network: `the ${network.family} that its tensors describe`,
    hint: 'Fetch the model again',
  });
  return {
    name: basename(path),
    kind: network.family,
    path,
    plan: publicPlan(network, size, checkpoint.latents, findCheckpoint(path).config),
    tensors: checkpoint.tensors,
    [Symbol.dispose]: () => checkpoint.close(),
  };
}

function tensorOf(model: Exportable, name: string): CheckpointTensor {
  const tensor = model.tensors.get(name);
  if (tensor === undefined)
    throw new OrreryError('model', `${model.path} has no tensor ${name}; restore or fetch the model again`);
  return tensor;
}

function innerWeights(model: Exportable, signal: AbortSignal | undefined): (name: string) => WeightSource {
  return (name) => {
    throwIfAborted(signal);
    const tensor = tensorOf(model, name);
    const bytes = tensor.readBytes();
    requireValues(name, tensor.dtype, tensor.shape, bytes, model.path, true);
    return { kind: 'value', value: decodeTensor(tensor, bytes, name) };
  };
}

/** Writes or copies the weights, and gives places in that file. */
function externalWeights(
  dir: string,
  model: Exportable,
  signal: AbortSignal | undefined,
): (name: string) => WeightSource {
  const path = join(dir, WEIGHTS);
  if (model.file !== undefined) copyFileSync(model.file, path);
  else {
    const list = [...model.tensors];
    const writer = createSafetensorsWriter(
      path,
      list.map(([name, { dtype, shape }]) => ({ name, dtype: storable(dtype, name), shape })),
    );
    try {
      for (const [name, tensor] of list) {
        throwIfAborted(signal);
        writer.write(name, decodeTensor(tensor, tensor.readBytes(), name));
      }
    } catch (error) {
      writer.abort();
      throw error;
    }
    writer.close();
  }
  const file = openSafetensors(path);
  const { tensors } = file;
  file.close();
  return (name) => {
    const entry = tensors.get(name);
    if (entry === undefined)
      throw new OrreryError('model', `${model.path} has no tensor ${name}; restore or fetch the model again`);
    return {
      kind: 'file',
      file: WEIGHTS,
      offset: entry.offset,
      length: entry.length,
      dtype: storable(entry.dtype, name),
    };
  };
}

function storable(dtype: StoredDType, name: string): DType {
  if (dtype in DTYPE_BYTES) return dtype as DType;
  throw new OrreryError(
    'unsupported',
    `tensor ${name} is ${dtype}; convert the model to another type first: orrery models convert --dtype`,
  );
}

function requireSize(graph: CompiledGraph, file: string): void {
  if (graph.onnx.length < MAX_ONNX_BYTES) return;
  throw new OrreryError(
    'unsupported',
    `${file} would have ${graph.onnx.length} bytes, ONNX files hold at most 2 GB; add --external-data`,
  );
}

type Port = {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly meaning: string;
  readonly sizeBytes: number;
};

function describe(
  name: string,
  graph: CompiledGraph,
  meaning: Readonly<Record<string, string>>,
  path: string,
): Record<string, unknown> {
  const ports = (list: CompiledGraph['inputs']): Port[] =>
    list.map(({ name: port, dtype, shape }) => ({
      name: port,
      dtype: ONNX_NAMES[dtype],
      shape,
      meaning: meaning[port] ?? '',
      sizeBytes: sizeOf(shape) * DTYPE_BYTES[dtype],
    }));
  return {
    name,
    file: basename(path),
    sha256: sha256OfFile(path),
    inputs: ports(graph.inputs),
    outputs: ports(graph.outputs),
    operators: graph.operators,
  };
}

const ONNX_NAMES: Readonly<Record<DType, string>> = {
  f32: 'float32',
  f16: 'float16',
  bf16: 'bfloat16',
  i64: 'int64',
  i32: 'int32',
  i8: 'int8',
  u8: 'uint8',
  bool: 'bool',
};
