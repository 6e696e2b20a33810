// Tokenizer parts without weights: patchers and finite scalar quantisation.
import { InputError, type NdArray } from '../../../base/index.ts';
import { input, stack, type Tensor, transpose } from '../../../graph/index.ts';
import {
  fsqBasis,
  fsqBound,
  fsqCodes,
  fsqCodesOf,
  fsqIndices,
  type PatchMethod,
  patch2d,
  patch3d,
  residualFsq,
  unpatch2d,
  unpatch3d,
} from '../../../nets/index.ts';
import type { ParityCase } from '../case.ts';
import { inputsFor, runOnce } from '../engine.ts';
import type { CaseKind } from './kind.ts';

export const patchers: CaseKind = {
  name: 'patcher',
  matches: (c) =>
    c.config.patch_size !== undefined &&
    c.weights.size === 0 &&
    [...c.inputs.keys()].some((n) => n.startsWith('coeffs_')),
  async run(c, runtime) {
    const method = (c.config.patch_method ?? 'haar') as PatchMethod;
    if (method !== 'haar' && method !== 'rearrange') {
      throw new InputError('patch_method', { got: method, need: 'haar or rearrange' }, 'unsupported');
    }
    const options = { patch: Number(c.config.patch_size), method };
    const feeds: Record<string, NdArray> = Object.fromEntries(c.inputs);
    const outputs: Record<string, Tensor> = {};
    for (const [name, x] of Object.entries(inputsFor(feeds) as Record<string, Tensor>)) {
      const [patch, unpatch] = x.shape.length === 5 ? [patch3d, unpatch3d] : [patch2d, unpatch2d];
      if (name.startsWith('coeffs_')) outputs[`unpatched_${name}`] = unpatch(x, options);
      else {
        outputs[`patched_${name}`] = patch(x, options);
        outputs[`unpatched_${name}`] = unpatch(outputs[`patched_${name}`]!, options);
      }
    }
    return runOnce(runtime, outputs, feeds);
  },
};

/** [B, C, …] → [B, …, C]. */
function channelsLast(x: Tensor): Tensor {
  const space = x.shape.slice(2).map((_, i) => i + 2);
  return transpose(x, [0, ...space, 1]);
}

/** [B, …, C] → [B, C, …]. */
function channelsSecond(x: Tensor): Tensor {
  const last = x.shape.length - 1;
  return transpose(x, [0, last, ...x.shape.slice(1, -1).map((_, i) => i + 1)]);
}

/** The levels of a case. */
export function levelsOf(c: ParityCase): number[] {
  const levels = c.config.levels;
  if (!Array.isArray(levels)) throw new InputError('levels', { got: levels, need: 'a list of numbers' }, 'data');
  return levels as number[];
}

const ints = (values: readonly number[]): NdArray => ({
  dtype: 'i32',
  shape: [values.length],
  data: Int32Array.from(values),
});

export const fsq: CaseKind = {
  name: 'finite scalar quantisation',
  matches: (c) => Array.isArray(c.config.levels) && c.weights.size === 0,
  async run(c, runtime) {
    const levels = levelsOf(c);
    const feeds: Record<string, NdArray> = Object.fromEntries(c.inputs);
    const tensors = inputsFor(feeds) as Record<string, Tensor>;
    const outputs: Record<string, Tensor> = {};
    if (c.config.num_quantizers !== undefined) {
      const { codes, indices } = residualFsq(tensors.x!, levels, Number(c.config.num_quantizers));
      const sum = indices.map((i) => fsqCodesOf(i, levels));
      const found = await runOnce(
        runtime,
        { codes, indices: stack(indices, 1), ...Object.fromEntries(sum.map((t, i) => [`part${i}`, t])) },
        feeds,
      );
      const parts = sum.map((_, i) => found[`part${i}`]!.data as Float32Array);
      const total = parts[0]!.map((_, k) => parts.reduce((s, p) => s + p[k]!, 0));
      const out: Record<string, NdArray> = {
        codes: found.codes!,
        indices: found.indices!,
        'debug.codes_from_indices': { ...found.codes!, data: total },
      };
      return out;
    }
    for (const [name, x] of Object.entries(tensors)) {
      if (x.dtype === 'i32' || x.dtype === 'i64') {
        const codes = fsqCodesOf(input(name, x.shape, x.dtype), levels);
        outputs[name === 'indices' ? 'codes_from_indices' : `codes_${name}`] =
          x.shape.length < 3 ? channelsLast(codes) : codes;
        continue;
      }
      // Without picture axes the reference keeps channels last.
      const isFlat = x.shape.length < 4;
      const z = isFlat ? channelsSecond(x) : x;
      const codes = fsqCodes(z, levels);
      outputs[`debug.bounded_${name}`] = isFlat ? channelsLast(fsqBound(z, levels)) : fsqBound(z, levels);
      outputs[`codes_${name}`] = isFlat ? channelsLast(codes) : codes;
      outputs[`indices_${name}`] = fsqIndices(codes, levels);
    }
    const found = await runOnce(runtime, outputs, feeds);
    return { ...found, levels: ints(levels), basis: ints(fsqBasis(levels)) };
  },
};
