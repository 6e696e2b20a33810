// Normalisations over the last axis: LayerNorm and RMSNorm, fused forward with closed-form gradients.
import { assert, f32 } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { constant, makeNode, type Tensor } from '../tensor.ts';
import { add, mul, rsqrt, square, sub } from './elementwise.ts';
import { mean, sumTo } from './reduce.ts';

type NormAttrs = { readonly eps: number };

const statShape = (x: Tensor): number[] => [...x.shape.slice(0, -1), 1];
const width = (x: Tensor): number => x.shape[x.shape.length - 1]!;

const layerNormOp: Op<NormAttrs> = {
  name: 'layerNorm',
  formula: 'y = (x − mean)/√(var + ε)·w [+ b] over the last axis; also gives mean and 1/√(var + ε)',
  infer: ([x, w]) => {
    assert(w!.shape.length === 1 && w!.shape[0] === width(x!), `layerNorm of [${x!.shape}] with weight [${w!.shape}]`);
    const stat = { dtype: x!.dtype, shape: statShape(x!) };
    return [{ dtype: x!.dtype, shape: x!.shape }, stat, stat];
  },
  grad: ({ g, x: [x, w, b], y: [, m, r] }) => {
    const gy = g[0];
    if (gy === undefined) return [undefined, undefined, undefined];
    const unit = mul(sub(x!, m!), r!); // x̂
    const gw = mul(gy, w!);
    // x̄ = r·(ḡ − mean(ḡ) − x̂·mean(ḡ·x̂)), ḡ = ȳ·w
    const gx = mul(r!, sub(sub(gw, mean(gw, [-1], true)), mul(unit, mean(mul(gw, unit), [-1], true))));
    return [gx, sumTo(mul(gy, unit), w!.shape), b === undefined ? undefined : sumTo(gy, b.shape)];
  },
  onnx: (e, inputs, node) =>
    e.node('LayerNormalization', inputs, { axis: -1, epsilon: { float: node.attrs.eps } }, { outputs: 3 }),
  unfused: ([x, w, b], { eps }) => {
    const m = mean(x!, [-1], true);
    const centred = sub(x!, m);
    const r = rsqrt(add(mean(square(centred), [-1], true), eps));
    const scaled = mul(mul(centred, r), w!);
    return [b === undefined ? scaled : add(scaled, b), m, r];
  },
};

const ones = (n: number): Tensor => constant(f32([n], new Float32Array(n).fill(1)));

/** LayerNorm over the last axis. Without `weight` and `bias` it has no learned parameters. Default eps 1e-6. */
export function layerNorm(x: Tensor, options: { weight?: Tensor; bias?: Tensor; eps?: number } = {}): Tensor {
  const { weight = ones(width(x)), bias, eps = 1e-6 } = options;
  return makeNode(layerNormOp, bias === undefined ? [x, weight] : [x, weight, bias], { eps })[0]!;
}

const rmsNormOp: Op<NormAttrs> = {
  name: 'rmsNorm',
  formula: 'y = x/√(mean(x²) + ε)·w over the last axis; also gives 1/√(mean(x²) + ε)',
  infer: ([x, w]) => {
    assert(w!.shape.length === 1 && w!.shape[0] === width(x!), `rmsNorm of [${x!.shape}] with weight [${w!.shape}]`);
    return [
      { dtype: x!.dtype, shape: x!.shape },
      { dtype: x!.dtype, shape: statShape(x!) },
    ];
  },
  grad: ({ g, x: [x, w], y: [, r] }) => {
    const gy = g[0];
    if (gy === undefined) return [undefined, undefined];
    const unit = mul(x!, r!); // x̂
    const gw = mul(gy, w!);
    // x̄ = r·(ḡ − x̂·mean(ḡ·x̂)), ḡ = ȳ·w
    return [mul(r!, sub(gw, mul(unit, mean(mul(gw, unit), [-1], true)))), sumTo(mul(gy, unit), w!.shape)];
  },
  contrib: true,
  // Registered by ONNX Runtime in the default domain although the standard has it only as RMSNormalization of opset 23.
  onnx: (e, inputs, node) =>
    e.node('SimplifiedLayerNormalization', inputs, { axis: -1, epsilon: { float: node.attrs.eps } }, { outputs: 2 }),
  unfused: ([x, w], { eps }) => {
    const r = rsqrt(add(mean(square(x!), [-1], true), eps));
    return [mul(mul(x!, r), w!), r];
  },
};

/** RMSNorm over the last axis with a learned weight [D]. Default eps 1e-6. */
export const rmsNorm = (x: Tensor, weight: Tensor, eps = 1e-6): Tensor => makeNode(rmsNormOp, [x, weight], { eps })[0]!;

/** RMSNorm over the last axis without a learned weight. */
export const rmsNormPlain = (x: Tensor, eps = 1e-6): Tensor => rmsNorm(x, ones(width(x)), eps);

/** Records of this file, for documentation and tests. */
export const normOps = [layerNormOp, rmsNormOp] as const;
