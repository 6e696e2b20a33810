// Classifier-free guidance. Scale convention of Predict1: g = 0 is no guidance, g = 7 its default (elsewhere called 8).

import { assert } from '../base/index.ts';

/** c + g·(c − u), elementwise. Works on x̂0 and, since x̂0 is affine in it, on the raw network output. */
export function guide(cond: Float32Array, uncond: Float32Array, scale: number): Float32Array {
  assert(cond.length === uncond.length, 'guidance branches differ in size');
  return cond.map((c, i) => c + scale * (c - uncond[i]!));
}

/** c + g·(c − u) + g₂·(o − u): `other` is the unconditional branch with one more condition, such as a trajectory. */
export function guideTwo(
  cond: Float32Array,
  uncond: Float32Array,
  other: Float32Array,
  scale: number,
  otherScale: number,
): Float32Array {
  assert(cond.length === uncond.length && cond.length === other.length, 'guidance branches differ in size');
  return cond.map((c, i) => c + scale * (c - uncond[i]!) + otherScale * (other[i]! - uncond[i]!));
}
