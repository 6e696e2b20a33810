// Convolution of every channel by a kernel of its own. The gradient goes through shifts and products: exact, not fast, since
// the networks that use it are only run, not trained.
import { assert } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { makeNode, type Tensor } from '../tensor.ts';
import { add, mul } from './elementwise.ts';
import { pad, reshape, slice, sliceMany } from './shape.ts';

type DepthwiseAttrs = { readonly stride: number; readonly padding: number };

const outputSide = (size: number, kernel: number, a: DepthwiseAttrs): number =>
  Math.floor((size + 2 * a.padding - kernel) / a.stride) + 1;

const depthwiseConvOp: Op<DepthwiseAttrs> = {
  name: 'depthwiseConv',
  formula: 'y[b, c, i, j] = Σ_uv x[b, c, s·i + u − p, s·j + v − p]·w[c, 0, u, v]',
  infer: ([x, w], a) => {
    const [b, c, height, width] = x!.shape;
    const fits = x!.shape.length === 4 && w!.shape.length === 4 && w!.shape[0] === c && w!.shape[1] === 1;
    assert(fits, `depthwiseConv of [${x!.shape}] with [${w!.shape}]`);
    const shape = [b!, c!, outputSide(height!, w!.shape[2]!, a), outputSide(width!, w!.shape[3]!, a)];
    return [{ dtype: x!.dtype, shape }];
  },
  grad: 'unfused',
  onnx: (e, inputs, { attrs: { stride, padding: p }, inputs: [x] }) =>
    e.node('Conv', inputs, { strides: [stride, stride], pads: [p, p, p, p], group: x!.shape[1]! }),
  unfused: ([x, w], a) => {
    const [, c, kh, kw] = [0, w!.shape[0]!, w!.shape[2]!, w!.shape[3]!] as const;
    const room = [0, 0, a.padding, a.padding];
    const padded = pad(x!, { before: room, after: room });
    const [height, width] = [outputSide(x!.shape[2]!, kh, a), outputSide(x!.shape[3]!, kw, a)];
    let y: Tensor | undefined;
    for (let u = 0; u < kh; u++) {
      for (let v = 0; v < kw; v++) {
        const window = slice(slice(padded, 2, u, height, a.stride), 3, v, width, a.stride);
        const weight = reshape(sliceMany(w!, [2, 3], [u, v], [1, 1]), [1, c, 1, 1]);
        const term = mul(window, weight);
        y = y === undefined ? term : add(y, term);
      }
    }
    return [y!];
  },
};

/** Depthwise convolution: x [B, C, H, W], weight [C, 1, kh, kw], the same stride and padding on both axes. */
export function depthwiseConv(x: Tensor, weight: Tensor, options: { stride?: number; padding?: number } = {}): Tensor {
  const { stride = 1, padding = 0 } = options;
  return makeNode(depthwiseConvOp, [x, weight], { stride, padding })[0]!;
}

/** Records of this file, for documentation and tests. */
export const depthwiseOps = [depthwiseConvOp] as const;
