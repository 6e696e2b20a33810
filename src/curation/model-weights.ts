// Public weights that the user names: a file of tensors, checked against what a network needs.
import { type NdArray, OrreryError, toF32 } from '../base/index.ts';
import { openTensors } from '../formats/index.ts';
import type { WeightSpec } from '../nets/orrery/weights.ts';

/** The tensors of `specs`, in float32. */
export function readWeights(path: string, specs: readonly WeightSpec[]): Map<string, NdArray> {
  using source = openTensors(path);
  return new Map(
    specs.map(({ key, shape }): [string, NdArray] => {
      const info = source.tensors.get(key);
      if (info === undefined || JSON.stringify(info.shape) !== JSON.stringify(shape)) {
        const what = info === undefined ? `no tensor ${key}` : `${key} is [${info.shape}]`;
        throw new OrreryError('model', `${path}: ${what}; need ${key} of [${shape}]`);
      }
      return [key, { dtype: 'f32', shape, data: toF32(source.read(key)) }];
    }),
  );
}
