// Results that are no numbers end a run at once: they come from damaged weights, and hours of sampling would end in noise.
import { join } from 'node:path';
import { OrreryError } from '../../base/index.ts';
import { valueProblem } from '../../checkpoints/index.ts';
import { openFileAccess } from '../../formats/index.ts';
import { isParam, type Tensor, topologicalOrder } from '../../graph/index.ts';
import type { Component } from './component.ts';

/**
 * Throws a `model` error at the first value that is not finite.
 * @param values of a network's result
 * @param network in words, for the message
 * @param damaged names the weight that is to blame, with its file; asked only when there is an error
 */
export function requireFinite(values: Float32Array, network: string, damaged?: () => string | undefined): void {
  const bad = values.findIndex((v) => !Number.isFinite(v));
  if (bad < 0) return;
  const weight = damaged?.();
  const cause =
    weight === undefined
      ? 'no weight of it is damaged, so they are of another model or its numbers grow too large'
      : `${weight}; fetch the file again`;
  throw new OrreryError(
    'model',
    `${network} gave ${values[bad]} at place ${bad} of ${values.length}, need finite numbers: ${
      damaged === undefined ? 'one of its weights is damaged: orrery models verify names it' : cause
    }`,
  );
}

/** The first weight with values that are not finite, and its file, in words; undefined when there is none. Reads the whole network. */
export function damagedWeight(
  { weights, load }: Pick<Component<unknown>, 'weights' | 'load'>,
  outputs: Readonly<Record<string, Tensor>>,
): string | undefined {
  for (const node of topologicalOrder(Object.values(outputs))) {
    if (!isParam(node)) continue;
    const { name, shape, dtype } = node.attrs;
    const given = weights(name, { shape, dtype });
    // Whole numbers of blocks are always finite, their scales need not be.
    const source = given.kind === 'blocks' ? given.scales : given;
    if (source.kind === 'input') continue;
    const problem =
      source.kind === 'value'
        ? valueProblem(source.value.dtype, bytesOf(source.value.data))
        : valueProblem(source.dtype, read(join(load?.folder ?? '', source.file), source));
    if (problem === undefined || problem.kind === 'zero') continue;
    const what = `tensor ${name} has ${problem.count} ${problem.kind === 'nan' ? 'NaN' : 'infinite'} values, the first at place ${problem.first}`;
    return source.kind === 'file' ? `${join(load?.folder ?? '', source.file)}: ${what}` : what;
  }
  return undefined;
}

const bytesOf = (data: ArrayBufferView): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

function read(path: string, { offset, length }: { readonly offset: number; readonly length: number }): Uint8Array {
  const file = openFileAccess(path);
  try {
    return file.read(offset, length);
  } finally {
    file.close();
  }
}
