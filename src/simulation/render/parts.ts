// The parts of a scene as flat numbers, so that the renderer's inner loops touch typed arrays only.
// One row of PART_STRIDE float64 per part; transforms are refreshed once per frame from body poses. Draws nothing.

import { InputError } from '../../base/index.ts';
import type { Part, Scene } from '../scene.ts';

/** Shape codes in `PartTable.shape`. */
export const PLANE = 0;
export const SPHERE = 1;
export const BOX = 2;
export const CYLINDER = 3;
export const CAPSULE = 4;

const SHAPE_CODES: Readonly<Record<Part['shape'], number>> = {
  plane: PLANE,
  sphere: SPHERE,
  box: BOX,
  cylinder: CYLINDER,
  capsule: CAPSULE,
};

/** Float64 values per part. Offsets below. */
export const PART_STRIDE = 32;
/** Centre in the world, 3 values. */
export const CENTRE = 0;
/** Rotation world ← part, row-major, 9 values. */
export const ROTATION = 3;
/** Size as in the scene format, 3 values. */
export const SIZE = 12;
/** Radius of the bounding sphere; Infinity for planes. */
export const BOUND = 15;
/** Radius of the sphere that stands for the part as an ambient occluder. */
export const OCCLUDER = 16;
/** Half extents of the box in which the largest inscribed sphere slides, 3 values. */
export const CORE = 17;
/** Half extents of the part's box in its own frame, 3 values. */
export const EXTENT = 20;
/** Ray origin (camera) in the part's frame, 3 values; valid for one frame. */
export const EYE = 23;
/** Radius of that inscribed sphere. */
export const INSCRIBED = 26;

/** All parts of a scene, flat. Index order is body order, then part order: the order of every product and comparison. */
export type PartTable = {
  readonly count: number;
  /** [count, PART_STRIDE] */
  readonly data: Float64Array;
  readonly shape: Uint8Array;
  /** Index of the body in the scene (instance id − 1). */
  readonly body: Int32Array;
  /** Index of the material in the material table. */
  readonly material: Int32Array;
  /** Pose of the part in its body: x y z w x y z, [count, 7]. */
  readonly local: Float64Array;
};

/** Flattens the parts; call `placeParts` before drawing. */
export function partTable(scene: Scene, materialIndex: ReadonlyMap<string, number>): PartTable {
  let count = 0;
  for (const body of scene.bodies) count += body.parts.length;
  const table: PartTable = {
    count,
    data: new Float64Array(count * PART_STRIDE),
    shape: new Uint8Array(count),
    body: new Int32Array(count),
    material: new Int32Array(count),
    local: new Float64Array(count * 7),
  };
  let p = 0;
  scene.bodies.forEach((body, bodyIndex) => {
    for (const part of body.parts) {
      const material = materialIndex.get(part.material);
      if (material === undefined) {
        throw new InputError(`bodies[${bodyIndex}].parts.material`, {
          got: part.material,
          need: `one of ${[...materialIndex.keys()].join(', ')}`,
          why: 'every part names a material of the scene',
        });
      }
      table.shape[p] = SHAPE_CODES[part.shape];
      table.body[p] = bodyIndex;
      table.material[p] = material;
      table.local.set([...part.pos, ...part.quat], p * 7);
      fillSizes(table.data, p * PART_STRIDE, part);
      p++;
    }
  });
  return table;
}

function fillSizes(data: Float64Array, at: number, part: Part): void {
  const [a = 0, b = 0, c = 0] = part.size;
  data[at + SIZE] = a;
  data[at + SIZE + 1] = b;
  data[at + SIZE + 2] = c;
  const extent =
    part.shape === 'box'
      ? [a, b, c]
      : part.shape === 'sphere'
        ? [a, a, a]
        : part.shape === 'cylinder'
          ? [a, a, b]
          : part.shape === 'capsule'
            ? [a, a, a + b]
            : [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0];
  for (let k = 0; k < 3; k++) data[at + EXTENT + k] = extent[k]!;
  const bound =
    part.shape === 'sphere'
      ? a
      : part.shape === 'capsule'
        ? a + b
        : part.shape === 'cylinder'
          ? Math.sqrt(a * a + b * b)
          : part.shape === 'box'
            ? Math.sqrt(a * a + b * b + c * c)
            : Number.POSITIVE_INFINITY;
  data[at + BOUND] = bound;
  if (part.shape === 'plane') return;
  // The nearest place of a sphere rolling inside the part tells direction and distance of the occluder; its size is
  // the geometric mean extent. So flat and long parts darken their surroundings as a whole and never swallow a point.
  const inscribed = Math.min(extent[0]!, extent[1]!, extent[2]!);
  data[at + INSCRIBED] = inscribed;
  data[at + OCCLUDER] = Math.cbrt(extent[0]! * extent[1]! * extent[2]!);
  for (let k = 0; k < 3; k++) data[at + CORE + k] = extent[k]! - inscribed;
}

/**
 * Refreshes centres and rotations.
 * @param poses body poses of one frame, [bodies, 7], each x y z then quaternion w x y z
 */
export function placeParts(table: PartTable, poses: Float64Array, at = 0): void {
  const { data, local, body } = table;
  for (let p = 0; p < table.count; p++) {
    const b = at + body[p]! * 7;
    const l = p * 7;
    const o = p * PART_STRIDE;
    const norm = 1 / Math.hypot(poses[b + 3]!, poses[b + 4]!, poses[b + 5]!, poses[b + 6]!);
    const w = poses[b + 3]! * norm;
    const x = poses[b + 4]! * norm;
    const y = poses[b + 5]! * norm;
    const z = poses[b + 6]! * norm;
    const lx = local[l]!;
    const ly = local[l + 1]!;
    const lz = local[l + 2]!;
    // v + 2w(q×v) + 2q×(q×v)
    const cx = 2 * (y * lz - z * ly);
    const cy = 2 * (z * lx - x * lz);
    const cz = 2 * (x * ly - y * lx);
    data[o] = poses[b]! + lx + w * cx + (y * cz - z * cy);
    data[o + 1] = poses[b + 1]! + ly + w * cy + (z * cx - x * cz);
    data[o + 2] = poses[b + 2]! + lz + w * cz + (x * cy - y * cx);
    const lw = local[l + 3]!;
    const li = local[l + 4]!;
    const lj = local[l + 5]!;
    const lk = local[l + 6]!;
    const qw = w * lw - x * li - y * lj - z * lk;
    const qx = w * li + x * lw + y * lk - z * lj;
    const qy = w * lj - x * lk + y * lw + z * li;
    const qz = w * lk + x * lj - y * li + z * lw;
    data[o + 3] = 1 - 2 * (qy * qy + qz * qz);
    data[o + 4] = 2 * (qx * qy - qw * qz);
    data[o + 5] = 2 * (qx * qz + qw * qy);
    data[o + 6] = 2 * (qx * qy + qw * qz);
    data[o + 7] = 1 - 2 * (qx * qx + qz * qz);
    data[o + 8] = 2 * (qy * qz - qw * qx);
    data[o + 9] = 2 * (qx * qz - qw * qy);
    data[o + 10] = 2 * (qy * qz + qw * qx);
    data[o + 11] = 1 - 2 * (qx * qx + qy * qy);
  }
}

/** Moves the ray origin into every part's frame, for primary rays. */
export function placeEye(table: PartTable, ex: number, ey: number, ez: number): void {
  const { data } = table;
  for (let p = 0; p < table.count; p++) {
    const o = p * PART_STRIDE;
    const x = ex - data[o]!;
    const y = ey - data[o + 1]!;
    const z = ez - data[o + 2]!;
    data[o + EYE] = data[o + 3]! * x + data[o + 6]! * y + data[o + 9]! * z;
    data[o + EYE + 1] = data[o + 4]! * x + data[o + 7]! * y + data[o + 10]! * z;
    data[o + EYE + 2] = data[o + 5]! * x + data[o + 8]! * y + data[o + 11]! * z;
  }
}
