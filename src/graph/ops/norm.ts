// Normalisations over the last axis: LayerNorm and RMSNorm, fused forward with closed-form gradients.
import { assert, f32, sizeOf } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { constant, constantValue, makeNode, type Tensor } from '../tensor.ts';
import { add, mul, rsqrt, square, sub } from './elementwise.ts';
import { gemm, matmul } from './linear.ts';
import { mean, sumTo } from './reduce.ts';
import { reshape } from './shape.ts';

type NormAttrs = { readonly eps: number };

const statShape = (x: Tensor): number[] => [...x.shape.slice(0, -1), 1];
const width = (x: Tensor): number => x.shape[x.shape.length - 1]!;

/** Mean over the last axis of x·w, w [D]: a product of matrix and vector. [..., D] → [..., 1] */
const rowMean = (x: Tensor, w: Tensor): Tensor => mul(matmul(x, reshape(w, [width(x), 1])), 1 / width(x));

function isOnes(w: Tensor): boolean {
  const value = constantValue(w);
  return value !== undefined && value.dtype === 'f32' && (value.data as Float32Array).every((v) => v === 1);
}

const layerNormOp: Op<NormAttrs> = {
  name: 'layerNorm',
  formula: 'y = (x − mean)/√(var + ε)·w [+ b] over the last axis; also gives mean and 1/√(var + ε)',
  infer: ([x, w]) => {
    assert(w!.shape.length === 1 && w!.shape[0] === width(x!), `layerNorm of [${x!.shape}] with weight [${w!.shape}]`);
    const stat = { dtype: x!.dtype, shape: statShape(x!) };
    return [{ dtype: x!.dtype, shape: x!.shape }, stat, stat];
  },
  grad: ({ g, x: [x, w, b], y: [y, m, r] }) => {
    const gy = g[0];
    if (gy === undefined) return [undefined, undefined, undefined];
    // Without learned parameters the result is x̂ itself: x need not be kept.
    const isPlain = b === undefined && isOnes(w!);
    const unit = isPlain ? y! : mul(sub(x!, m!), r!); // x̂
    const gw = isPlain ? gy : mul(gy, w!);
    const product = mul(gy, unit);
    // x̄ = r·(ḡ − mean(ḡ) − x̂·mean(ḡ·x̂)), ḡ = ȳ·w; Σ ḡ·x̂ over the row is a product of (ȳ·x̂) with w
    const inner = sub(sub(gw, rowMean(gy, w!)), mul(unit, rowMean(product, w!)));
    return [mul(inner, r!), sumTo(product, w!.shape), b === undefined ? undefined : sumTo(gy, b.shape)];
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
    const gw = isOnes(w!) ? gy : mul(gy, w!); // ḡ
    const product = mul(gy, x!);
    // x̄ = r·ḡ − x·r³·mean(ḡ·x); w̄ = Σ rows r·(ȳ·x), a product of the row of all r with the matrix ȳ·x
    const pull = mul(mul(mul(r!, r!), r!), rowMean(product, w!)); // [..., 1]
    const rows = sizeOf(r!.shape);
    const gain = gemm(reshape(r!, [1, rows]), reshape(product, [rows, width(x!)]));
    return [sub(mul(gw, r!), mul(x!, pull)), reshape(gain, w!.shape)];
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
