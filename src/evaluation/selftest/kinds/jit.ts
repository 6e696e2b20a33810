// TorchScript archives of tokenizers: reads the `.jit` files beside the case, checks every tensor, runs the network on them.
import { basename, dirname, join } from 'node:path';
import { f32, type NdArray, OrreryError, show, toF32 } from '../../../base/index.ts';
import { openTorch } from '../../../formats/index.ts';
import { input, type Tensor } from '../../../graph/index.ts';
import {
  cosmosTokenizerConfig,
  decodeImage,
  decodeVideo,
  encodeImage,
  encodeVideo,
  fsqCodes,
  fsqIndices,
  isUnusedTokenizerKey,
} from '../../../nets/index.ts';
import { isRecord, type ParityCase } from '../case.ts';
import { runOnce, strictWeights } from '../engine.ts';
import type { CaseKind } from './kind.ts';

/** Torch's names of types → those of stored tensors. */
const DTYPES: Readonly<Record<string, string>> = {
  float32: 'f32',
  float64: 'f64',
  float16: 'f16',
  bfloat16: 'bf16',
  int64: 'i64',
  int32: 'i32',
  int16: 'i16',
  int8: 'i8',
  uint8: 'u8',
  bool: 'bool',
};

export const jitTokenizer: CaseKind = {
  name: 'TorchScript tokenizer',
  matches: (c) => Array.isArray(c.options.jit_files) && c.options.jit_files.every((name) => typeof name === 'string'),
  async run(c, runtime) {
    const config = cosmosTokenizerConfig(c.config);
    const isVideo = config.kind === 'CV' || config.kind === 'DV';
    const picture = [...c.inputs].find(([, a]) => a.dtype === 'f32' && a.shape.length === (isVideo ? 5 : 4));
    if (picture === undefined) throw new OrreryError('data', `${c.name}: no picture or video among its inputs`);
    const file = readArchives(c);

    const strict = strictWeights(file);
    const [encode, decode] = isVideo ? [encodeVideo, decodeVideo] : [encodeImage, decodeImage];
    const latent = encode(input(picture[0], picture[1].shape), config, strict.weights);
    const outputs: Record<string, Tensor> = {};
    if (config.levels === undefined) {
      outputs.latent = latent;
      outputs.recon = decode(latent, config, strict.weights);
    } else {
      const codes = fsqCodes(latent, config.levels);
      outputs.codes = codes;
      outputs.indices = fsqIndices(codes, config.levels);
      outputs.recon = decode(codes, config, strict.weights);
    }
    strict.check(isUnusedTokenizerKey);
    const wanted = Object.fromEntries(Object.entries(outputs).filter(([name]) => c.outputs.has(name)));
    return runOnce(runtime, wanted, { [picture[0]]: picture[1] }, file);
  },
};

/** The weights of all archives of a case, widened, after they were compared with what the case says about them. */
function readArchives(c: ParityCase): Map<string, NdArray> {
  const listed = isRecord(c.options.jit_state_dict) ? c.options.jit_state_dict : {};
  const weights = new Map<string, NdArray>();
  for (const name of c.options.jit_files as readonly string[]) {
    // A case names files beside it, nothing else.
    if (basename(name) !== name)
      throw new OrreryError('data', `${c.name}: jit_files names ${show(name)}, need a plain file name`);
    const part = /([a-z]+)\.jit$/.exec(name)?.[1] ?? name;
    using archive = openTorch(join(dirname(c.path), name));
    if (archive.format !== 'torchscript') throw new OrreryError('data', `${archive.path} is no TorchScript archive`);
    checkListed(archive.tensors, listed[part], archive.path);
    for (const [key, { dtype }] of archive.tensors) {
      const value = archive.read(key);
      const isFloat = dtype === 'f32' || dtype === 'f16' || dtype === 'bf16' || dtype === 'f64';
      const wide = isFloat ? f32(value.shape, toF32(value)) : value;
      const stored = c.weights.get(`${part}.jit/${key}`);
      if (stored !== undefined && !isEqual(stored, wide)) {
        throw new OrreryError('data', `${archive.path}: tensor ${show(key)} differs from its copy in the case`);
      }
      weights.set(key, wide);
    }
  }
  const absent = [...c.weights.keys()].filter(
    (key) => !weights.has(key.slice(key.indexOf('/') + 1)) && !isUnusedTokenizerKey(key),
  );
  if (absent.length > 0)
    throw new OrreryError('data', `${c.name}: the archives lack ${absent.length} tensors, first ${show(absent[0])}`);
  return weights;
}

/** Compares names, types and shapes with the list `{key: [type, shape]}` of a case. */
function checkListed(
  tensors: ReadonlyMap<string, { readonly dtype: string; readonly shape: readonly number[] }>,
  list: unknown,
  path: string,
): void {
  if (!isRecord(list)) return;
  for (const [key, value] of Object.entries(list)) {
    const [type, shape] = value as [string, number[]];
    const found = tensors.get(key);
    const got = found === undefined ? 'nothing' : `${found.dtype} [${found.shape}]`;
    const need = `${DTYPES[type] ?? type} [${shape}]`;
    if (got !== need) throw new OrreryError('data', `${path}: tensor ${show(key)} is ${got}, need ${need}`);
  }
  const extra = [...tensors.keys()].filter((key) => !(key in list));
  if (extra.length > 0) throw new OrreryError('data', `${path}: tensor ${show(extra[0])} is not in the case's list`);
}

function isEqual(a: NdArray, b: NdArray): boolean {
  if (a.shape.join() !== b.shape.join()) return false;
  const [x, y] = [toF32(a), toF32(b)];
  return x.every((value, i) => value === y[i]);
}
