// Small dense linear algebra for geometry: 3×3 and 4×4 matrices as flat row-major arrays.

/** A 3×3 matrix, row-major, 9 numbers. */
export type Mat3 = ArrayLike<number>;
/** A rigid or general 4×4 matrix, row-major, 16 numbers. */
export type Mat4 = ArrayLike<number>;

export function mul3(a: Mat3, b: Mat3): Float64Array {
  const out = new Float64Array(9);
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      out[i * 3 + j] = a[i * 3]! * b[j]! + a[i * 3 + 1]! * b[3 + j]! + a[i * 3 + 2]! * b[6 + j]!;
    }
  }
  return out;
}

export const transpose3 = (a: Mat3): Float64Array =>
  Float64Array.of(a[0]!, a[3]!, a[6]!, a[1]!, a[4]!, a[7]!, a[2]!, a[5]!, a[8]!);

export const det3 = (a: Mat3): number =>
  a[0]! * (a[4]! * a[8]! - a[5]! * a[7]!) -
  a[1]! * (a[3]! * a[8]! - a[5]! * a[6]!) +
  a[2]! * (a[3]! * a[7]! - a[4]! * a[6]!);

/** Inverse of a rigid transform [R t; 0 1]: [Rᵀ −Rᵀt]. */
export function invertRigid(m: Mat4): Float64Array {
  const out = new Float64Array(16);
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) out[i * 4 + j] = m[j * 4 + i]!;
    out[i * 4 + 3] = -(m[i]! * m[3]! + m[4 + i]! * m[7]! + m[8 + i]! * m[11]!);
  }
  out[15] = 1;
  return out;
}

export function mul4(a: Mat4, b: Mat4): Float64Array {
  const out = new Float64Array(16);
  for (let i = 0; i < 4; i++) {
    for (let j = 0; j < 4; j++) {
      let s = 0;
      for (let k = 0; k < 4; k++) s += a[i * 4 + k]! * b[k * 4 + j]!;
      out[i * 4 + j] = s;
    }
  }
  return out;
}

/** Rotation part of a 4×4 matrix. */
export const rotationOf = (m: Mat4): Float64Array =>
  Float64Array.of(m[0]!, m[1]!, m[2]!, m[4]!, m[5]!, m[6]!, m[8]!, m[9]!, m[10]!);

/** Rotation angle in degrees: atan2(|vee(R − Rᵀ)|/2, (tr R − 1)/2), which keeps its digits near 0 and 180. */
export function angleDegrees(r: Mat3): number {
  const x = r[7]! - r[5]!;
  const y = r[2]! - r[6]!;
  const z = r[3]! - r[1]!;
  const sine = Math.sqrt(x * x + y * y + z * z) / 2;
  return (Math.atan2(sine, (r[0]! + r[4]! + r[8]! - 1) / 2) * 180) / Math.PI;
}

/** Ordinary median: mean of the two middle values of an even count; NaN of none. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return Number.NaN;
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
