// Element-wise ops with NumPy broadcasting: arithmetic, functions, comparisons, selection, casts.
import { assert, type DType, f32, type NdArray, sizeOf } from '../../base/index.ts';
import type { Op } from '../op.ts';
import { constantValue, makeNode, scalar, type Tensor } from '../tensor.ts';
import { longElementwise } from './blockwise.ts';
import { sumTo } from './reduce.ts';
import { reshape } from './shape.ts';

/** Broadcast shape of two shapes, or an assertion error. */
export function broadcastShapes(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    assert(x === y || x === 1 || y === 1, `shapes [${a}] and [${b}] do not broadcast`);
    out.push(x === 1 ? y : x);
  }
  return out;
}

type None = Record<string, never>;
const none: None = {};

/** f(a, b) of two float32 arrays, broadcast; undefined for other types. */
function evaluate2(f: (a: number, b: number) => number, [a, b]: readonly NdArray[]): NdArray | undefined {
  if (a!.dtype !== 'f32' || b!.dtype !== 'f32') return undefined;
  const shape = broadcastShapes(a!.shape, b!.shape);
  const out = new Float32Array(sizeOf(shape));
  const at = (x: NdArray, i: number): number => {
    let index = 0;
    let stride = 1;
    for (let rest = i, axis = shape.length - 1; axis >= 0; axis--) {
      const size = x.shape[axis - shape.length + x.shape.length] ?? 1;
      if (size > 1) index += (rest % shape[axis]!) * stride;
      stride *= size;
      rest = Math.floor(rest / shape[axis]!);
    }
    return Number(x.data[index]);
  };
  for (let i = 0; i < out.length; i++) out[i] = f(at(a!, i), at(b!, i));
  return f32(shape, out);
}

function binary(
  name: string,
  type: string,
  formula: string,
  grad: Op<None>['grad'],
  { result, of }: { readonly result?: DType; readonly of?: (a: number, b: number) => number } = {},
): Op<None> {
  return {
    ...(of === undefined ? {} : { evaluate: (inputs: readonly NdArray[]) => evaluate2(of, inputs) }),
    name,
    formula,
    infer: ([a, b]) => {
      assert(a!.dtype === b!.dtype, `${name} of ${a!.dtype} and ${b!.dtype}`);
      return [{ dtype: result ?? a!.dtype, shape: broadcastShapes(a!.shape, b!.shape) }];
    },
    grad,
    onnx: (e, inputs) => e.node(type, inputs),
  };
}

const addOp = binary('add', 'Add', 'y = a + b', ({ gy, x: [a, b] }) => [sumTo(gy, a!.shape), sumTo(gy, b!.shape)], {
  of: (a, b) => a + b,
});
const subOp = binary(
  'sub',
  'Sub',
  'y = a − b',
  ({ gy, x: [a, b] }) => [sumTo(gy, a!.shape), sumTo(neg(gy), b!.shape)],
  { of: (a, b) => a - b },
);
const mulOp = binary(
  'mul',
  'Mul',
  'y = a·b',
  ({ gy, x: [a, b] }) => [sumTo(mul(gy, b!), a!.shape), sumTo(mul(gy, a!), b!.shape)],
  { of: (a, b) => a * b },
);
const divOp = binary(
  'div',
  'Div',
  'y = a / b',
  ({ gy, x: [a, b], y: [q] }) => [
    sumTo(div(gy, b!), a!.shape), // ∂y/∂a = 1/b
    sumTo(neg(div(mul(gy, q!), b!)), b!.shape), // ∂y/∂b = −y/b
  ],
  { of: (a, b) => a / b },
);
const powOp = binary(
  'pow',
  'Pow',
  'y = a^b, a > 0 where b is not an integer; b is a constant for gradients',
  ({ gy, x: [a, b] }) => [sumTo(mul(gy, mul(b!, pow(a!, sub(b!, 1)))), a!.shape), undefined],
  { of: (a, b) => a ** b },
);
const maximumOp = binary('maximum', 'Max', 'y = max(a, b); at ties the gradient goes to a', ({ gy, x: [a, b] }) => {
  const first = cast(greaterOrEqual(a!, b!), gy.dtype);
  return [sumTo(mul(gy, first), a!.shape), sumTo(mul(gy, sub(1, first)), b!.shape)];
});
const minimumOp = binary('minimum', 'Min', 'y = min(a, b); at ties the gradient goes to a', ({ gy, x: [a, b] }) => {
  const first = cast(lessOrEqual(a!, b!), gy.dtype);
  return [sumTo(mul(gy, first), a!.shape), sumTo(mul(gy, sub(1, first)), b!.shape)];
});
const equalOp = binary('equal', 'Equal', 'y = (a = b)', null, { result: 'bool' });
const greaterOp = binary('greater', 'Greater', 'y = (a > b)', null, { result: 'bool' });
const greaterOrEqualOp = binary('greaterOrEqual', 'GreaterOrEqual', 'y = (a ≥ b)', null, { result: 'bool' });
const lessOp = binary('less', 'Less', 'y = (a < b)', null, { result: 'bool' });
const lessOrEqualOp = binary('lessOrEqual', 'LessOrEqual', 'y = (a ≤ b)', null, { result: 'bool' });
const andOp = binary('and', 'And', 'y = a ∧ b', null);
const orOp = binary('or', 'Or', 'y = a ∨ b', null);

/** A tensor, or a number that becomes a scalar constant of the other operand's type. */
export type Operand = Tensor | number;

function apply2(op: Op<None>, a: Operand, b: Operand): Tensor {
  const like = typeof a === 'number' ? (b as Tensor) : a;
  assert(typeof like !== 'number', `${op.name} needs at least one tensor`);
  const ta = typeof a === 'number' ? scalar(a, like) : a;
  const tb = typeof b === 'number' ? scalar(b, like) : b;
  return makeNode(op, [ta, tb], none)[0]!;
}

/** The single number of a scalar float constant, or undefined. */
function scalarOf(x: Operand): number | undefined {
  if (typeof x === 'number') return x;
  const value = constantValue(x);
  return value !== undefined && value.dtype === 'f32' && value.data.length === 1 && value.shape.length === 0
    ? Number(value.data[0])
    : undefined;
}

/** y = a + b, broadcast. */
export function add(a: Operand, b: Operand): Tensor {
  if (scalarOf(b) === 0 && typeof a !== 'number') return a;
  if (scalarOf(a) === 0 && typeof b !== 'number') return b;
  return apply2(addOp, a, b);
}
/** y = a − b, broadcast. */
export function sub(a: Operand, b: Operand): Tensor {
  if (scalarOf(b) === 0 && typeof a !== 'number') return a;
  return apply2(subOp, a, b);
}
/** y = a·b, broadcast. */
export function mul(a: Operand, b: Operand): Tensor {
  if (scalarOf(b) === 1 && typeof a !== 'number') return a;
  if (scalarOf(a) === 1 && typeof b !== 'number') return b;
  return apply2(mulOp, a, b);
}
/** y = a / b, broadcast. */
export function div(a: Operand, b: Operand): Tensor {
  if (scalarOf(b) === 1 && typeof a !== 'number') return a;
  return apply2(divOp, a, b);
}
/** y = a^b. */
export function pow(a: Operand, b: Operand): Tensor {
  if (scalarOf(b) === 1 && typeof a !== 'number') return a;
  return apply2(powOp, a, b);
}
/** y = max(a, b), broadcast. */
export const maximum = (a: Operand, b: Operand): Tensor => apply2(maximumOp, a, b);
/** y = min(a, b), broadcast. */
export const minimum = (a: Operand, b: Operand): Tensor => apply2(minimumOp, a, b);
/** a = b, bool. */
export const equal = (a: Operand, b: Operand): Tensor => apply2(equalOp, a, b);
/** a > b, bool. */
export const greater = (a: Operand, b: Operand): Tensor => apply2(greaterOp, a, b);
/** a ≥ b, bool. */
export const greaterOrEqual = (a: Operand, b: Operand): Tensor => apply2(greaterOrEqualOp, a, b);
/** a < b, bool. */
export const less = (a: Operand, b: Operand): Tensor => apply2(lessOp, a, b);
/** a ≤ b, bool. */
export const lessOrEqual = (a: Operand, b: Operand): Tensor => apply2(lessOrEqualOp, a, b);
/** a ∧ b of bool tensors. */
export const and = (a: Tensor, b: Tensor): Tensor => apply2(andOp, a, b);
/** a ∨ b of bool tensors. */
export const or = (a: Tensor, b: Tensor): Tensor => apply2(orOp, a, b);

function unary(
  name: string,
  type: string,
  formula: string,
  grad: Op<None>['grad'],
  { result, of }: { readonly result?: DType; readonly of?: (x: number) => number } = {},
): Op<None> {
  const evaluate = ([x]: readonly NdArray[]): NdArray | undefined =>
    x!.dtype === 'f32' ? f32(x!.shape, (x!.data as Float32Array).map(of!)) : undefined;
  return {
    ...(of === undefined ? {} : { evaluate }),
    name,
    formula,
    infer: ([x]) => [{ dtype: result ?? x!.dtype, shape: x!.shape }],
    grad,
    onnx: (e, inputs) => e.node(type, inputs),
  };
}

const negOp = unary('neg', 'Neg', 'y = −x', ({ gy }) => [neg(gy)], { of: (x) => -x });
const absOp = unary('abs', 'Abs', 'y = |x|, gradient 0 at 0', ({ gy, x: [x] }) => [mul(gy, sign(x!))], {
  of: Math.abs,
});
const signOp = unary('sign', 'Sign', 'y = −1, 0 or 1', null);
const expOp = unary('exp', 'Exp', 'y = eˣ', ({ gy, y: [y] }) => [mul(gy, y!)], { of: Math.exp });
const logOp = unary('log', 'Log', 'y = ln x', ({ gy, x: [x] }) => [div(gy, x!)], { of: Math.log });
const sqrtOp = unary('sqrt', 'Sqrt', 'y = √x', ({ gy, y: [y] }) => [div(mul(gy, 0.5), y!)], { of: Math.sqrt });
const reciprocalOp = unary('reciprocal', 'Reciprocal', 'y = 1/x', ({ gy, y: [y] }) => [neg(mul(gy, mul(y!, y!)))], {
  of: (x) => 1 / x,
});
const sinOp = unary('sin', 'Sin', 'y = sin x', ({ gy, x: [x] }) => [mul(gy, cos(x!))], { of: Math.sin });
const cosOp = unary('cos', 'Cos', 'y = cos x', ({ gy, x: [x] }) => [neg(mul(gy, sin(x!)))], { of: Math.cos });
const tanhOp = unary('tanh', 'Tanh', 'y = tanh x', ({ gy, y: [y] }) => [mul(gy, sub(1, mul(y!, y!)))], {
  of: Math.tanh,
});
const erfOp = unary('erf', 'Erf', 'y = 2/√π ∫₀ˣ e^(−t²) dt', ({ gy, x: [x] }) => [
  mul(gy, mul(exp(neg(mul(x!, x!))), 2 / Math.sqrt(Math.PI))),
]);
const sigmoidOp = unary('sigmoid', 'Sigmoid', 'y = 1/(1 + e^(−x))', ({ gy, y: [y] }) => [
  mul(gy, mul(y!, sub(1, y!))), // y′ = y(1−y)
]);
const softplusOp = unary('softplus', 'Softplus', 'y = ln(1 + eˣ)', ({ gy, x: [x] }) => [mul(gy, sigmoid(x!))]);
const reluOp = unary('relu', 'Relu', 'y = max(x, 0)', ({ gy, x: [x] }) => [mul(gy, cast(greater(x!, 0), gy.dtype))]);
const floorOp = unary('floor', 'Floor', 'y = ⌊x⌋', null, { of: Math.floor });
const roundOp = unary('round', 'Round', 'y = nearest integer, ties to even', null);
const notOp = unary('not', 'Not', 'y = ¬x', null);
const isNaNOp = unary('isNaN', 'IsNaN', 'y = (x ≠ x)', null, { result: 'bool' });

const apply1 = (op: Op<None>, x: Tensor): Tensor => makeNode(op, [x], none)[0]!;

export const neg = (x: Tensor): Tensor => apply1(negOp, x);
export const abs = (x: Tensor): Tensor => apply1(absOp, x);
export const sign = (x: Tensor): Tensor => apply1(signOp, x);
export const exp = (x: Tensor): Tensor => apply1(expOp, x);
export const log = (x: Tensor): Tensor => apply1(logOp, x);
export const sqrt = (x: Tensor): Tensor => apply1(sqrtOp, x);
export const reciprocal = (x: Tensor): Tensor => apply1(reciprocalOp, x);
export const sin = (x: Tensor): Tensor => apply1(sinOp, x);
export const cos = (x: Tensor): Tensor => apply1(cosOp, x);
export const tanh = (x: Tensor): Tensor => apply1(tanhOp, x);
export const erf = (x: Tensor): Tensor => apply1(erfOp, x);
export const sigmoid = (x: Tensor): Tensor => apply1(sigmoidOp, x);
export const softplus = (x: Tensor): Tensor => apply1(softplusOp, x);
export const relu = (x: Tensor): Tensor => apply1(reluOp, x);
export const floor = (x: Tensor): Tensor => apply1(floorOp, x);
export const round = (x: Tensor): Tensor => apply1(roundOp, x);
export const not = (x: Tensor): Tensor => apply1(notOp, x);
/** x ≠ x, bool. */
export const isNotNumber = (x: Tensor): Tensor => apply1(isNaNOp, x);
/** x². */
export const square = (x: Tensor): Tensor => mul(x, x);
/** 1/√x. */
export const rsqrt = (x: Tensor): Tensor => reciprocal(sqrt(x));
/** Limits to [low, high]; the gradient is zero outside. */
export const clamp = (x: Tensor, low: number, high: number): Tensor => minimum(maximum(x, low), high);

const siluOp: Op<None> = {
  ...unary('silu', '', 'y = x·σ(x)', ({ gy, x: [x] }) => [
    longElementwise(
      ([g, x]) => {
        const s = sigmoid(x!);
        return mul(g!, add(s, mul(mul(x!, s), sub(1, s)))); // y′ = σ + x·σ(1−σ)
      },
      [gy, x!],
    ),
  ]),
  contrib: true,
  // QuickGelu with alpha 1 is x·σ(x) in one pass.
  onnx: (e, inputs) => e.node('QuickGelu', inputs, { alpha: { float: 1 } }, { domain: 'com.microsoft' }),
  unfused: ([x]) => [mul(x!, sigmoid(x!))],
};
/** SiLU (swish): x·σ(x). */
export const silu = (x: Tensor): Tensor => apply1(siluOp, x);

const geluOp: Op<None> = {
  ...unary('gelu', 'Gelu', 'y = x·Φ(x) = x/2·(1 + erf(x/√2))', ({ gy, x: [x] }) => [
    longElementwise(
      ([g, x]) => {
        const cdf = mul(add(erf(mul(x!, Math.SQRT1_2)), 1), 0.5);
        const pdf = mul(exp(mul(mul(x!, x!), -0.5)), 1 / Math.sqrt(2 * Math.PI));
        return mul(g!, add(cdf, mul(x!, pdf))); // y′ = Φ + x·φ
      },
      [gy, x!],
    ),
  ]),
  onnx: (e, inputs) => (e.standard ? e.node('Gelu', inputs) : e.node('Gelu', inputs, {}, { domain: 'com.microsoft' })),
};
/** Exact (erf) GELU. */
export const gelu = (x: Tensor): Tensor => apply1(geluOp, x);

const geluTanhOp: Op<None> = {
  ...unary('geluTanh', 'Gelu', 'y = x/2·(1 + tanh(√(2/π)(x + 0.044715x³)))', 'unfused'),
  onnx: (e, inputs) => e.node('Gelu', inputs, { approximate: 'tanh' }),
  unfused: ([x]) => {
    const inner = mul(add(x!, mul(mul(square(x!), x!), 0.044715)), Math.sqrt(2 / Math.PI));
    return [mul(mul(x!, 0.5), add(tanh(inner), 1))];
  },
};
/** Tanh-approximated GELU. */
export const geluTanh = (x: Tensor): Tensor => apply1(geluTanhOp, x);

const whereOp: Op<None> = {
  name: 'where',
  formula: 'y = c ? a : b',
  infer: ([c, a, b]) => {
    assert(c!.dtype === 'bool' && a!.dtype === b!.dtype, `where of ${c!.dtype}, ${a!.dtype}, ${b!.dtype}`);
    return [{ dtype: a!.dtype, shape: broadcastShapes(c!.shape, broadcastShapes(a!.shape, b!.shape)) }];
  },
  grad: ({ gy, x: [c, a, b] }) => [
    undefined,
    sumTo(where(c!, gy, scalar(0, gy)), a!.shape),
    sumTo(where(c!, scalar(0, gy), gy), b!.shape),
  ],
  onnx: (e, inputs) => e.node('Where', inputs),
};
/** c ? a : b, broadcast. */
export const where = (c: Tensor, a: Tensor, b: Tensor): Tensor => makeNode(whereOp, [c, a, b], none)[0]!;

/** ONNX element type codes. */
export const ONNX_DTYPE: Readonly<Record<DType, number>> = {
  f32: 1,
  u8: 2,
  i8: 3,
  i32: 6,
  i64: 7,
  bool: 9,
  f16: 10,
  bf16: 16,
};
const isFloat = (d: DType): boolean => d === 'f32' || d === 'f16' || d === 'bf16';

const castOp: Op<{ readonly dtype: DType }> = {
  name: 'cast',
  formula: 'y = x in another element type',
  infer: ([x], a) => [{ dtype: a.dtype, shape: x!.shape }],
  grad: ({ gy, x: [x] }) => [isFloat(x!.dtype) && isFloat(gy.dtype) ? cast(gy, x!.dtype) : undefined],
  onnx: (e, inputs, node) => e.node('Cast', inputs, { to: ONNX_DTYPE[node.attrs.dtype] }),
};
/** Converts the element type. */
export const cast = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : makeNode(castOp, [x], { dtype })[0]!);

const stopGradientOp: Op<None> = {
  ...unary('stopGradient', 'Identity', 'y = x, with gradient zero', null),
};
/** y = x; no gradient flows back. */
export const stopGradient = (x: Tensor): Tensor => apply1(stopGradientOp, x);

const barrierOp: Op<None> = {
  name: 'barrier',
  formula: 'y = x, computed only after the second input is known (used to recompute late)',
  infer: ([x]) => [{ dtype: x!.dtype, shape: x!.shape }],
  grad: ({ gy }) => [gy, undefined],
  // A selection between x and x by a value that no optimiser knows: one cheap pass, and a real dependency.
  onnx: (e, inputs, node) => {
    const [, token] = node.inputs;
    const flat =
      token!.shape.length === 0
        ? inputs[1]!
        : e.node('Slice', [e.node('Reshape', [inputs[1]!, e.ints([-1])])[0]!, e.ints([0]), e.ints([1])])[0]!;
    const [isNan] = e.node('IsNaN', [flat]);
    return e.node('Where', [isNan!, inputs[0]!, inputs[0]!]);
  },
};
/** x, but not before `token` is computed. */
export const barrier = (x: Tensor, token: Tensor): Tensor => makeNode(barrierOp, [x, token], none)[0]!;

/** Records of this file, for documentation and tests. */
export const elementwiseOps = [
  addOp,
  subOp,
  mulOp,
  divOp,
  powOp,
  maximumOp,
  minimumOp,
  equalOp,
  greaterOp,
  greaterOrEqualOp,
  lessOp,
  lessOrEqualOp,
  andOp,
  orOp,
  negOp,
  absOp,
  signOp,
  expOp,
  logOp,
  sqrtOp,
  reciprocalOp,
  sinOp,
  cosOp,
  tanhOp,
  erfOp,
  sigmoidOp,
  softplusOp,
  reluOp,
  floorOp,
  roundOp,
  notOp,
  isNaNOp,
  siluOp,
  geluOp,
  geluTanhOp,
  whereOp,
  castOp,
  stopGradientOp,
  barrierOp,
] as const;

/** Adds a vector along one axis: y = x + v broadcast at `axis`. */
export function addAlong(x: Tensor, v: Tensor, axis: number): Tensor {
  const shape = x.shape.map((_, i) => (i === axis ? v.shape[0]! : 1));
  return add(x, reshape(v, shape));
}
