// What steers a model besides words and frames, from files: camera paths, trajectories, robot actions; as JSON, CSV or .npy.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import { f32, InputError, type NdArray, sizeOf } from '../../base/index.ts';
import { readNpy } from '../../formats/index.ts';

const MAX_BYTES = 1e9;

/** Numbers of a file with the shape that the file gives them. */
type Table = { readonly shape: readonly number[]; readonly values: ArrayLike<number> };

/** Numbers of a trajectory. */
const TRAJECTORY_SIZE = 192;
/** Numbers of an action, and how the network takes them: translation and rotation times 20. */
const ACTION_SCALE = [20, 20, 20, 20, 20, 20, 1] as const;

/** Latent size of a clip and frames per latent. */
export type ClipSize = { readonly t: number; readonly h: number; readonly w: number; readonly time: number };

/**
 * A camera path as Plücker rays float32 [1, 6, T, h, w]: direction d, then moment o × d, in the frame of the first camera.
 *
 * `.npy`: ready rays, [T, 6, h, w], [6, T, h, w] or with a batch of 1. JSON: `{"intrinsics": [fx, fy, cx, cy], "poses": [[12 or 16 numbers],
 * …], "order": "direction-first"}`, intrinsics as shares of the picture's width and height, poses from camera to world (x right, y down,
 * z ahead), one per video frame or per latent frame. CSV: rows of fx, fy, cx, cy and the 12 numbers of such a pose.
 */
export function readCamera(path: string, size: ClipSize): NdArray & { data: Float32Array } {
  if (extname(path) === '.npy') return readyRays(path, size);
  const { intrinsics, poses, isMomentFirst } = extname(path) === '.csv' ? cameraCsv(path) : cameraJson(path);
  const { t, h, w, time } = size;
  const frames = 1 + (t - 1) * time;
  if (poses.length !== t && poses.length < frames) {
    throw new InputError('camera', {
      got: `${poses.length} poses in ${path}`,
      need: `${t}, one per latent frame, or ${frames} or more, one per video frame`,
    });
  }
  const rays = f32([1, 6, t, h, w]);
  const origin = inverse(poses[0]!);
  for (let f = 0; f < t; f++) {
    const at = poses.length === t ? f : f * time;
    const pose = product(origin, poses[at]!);
    const [fx, fy, cx, cy] = intrinsics[Math.min(at, intrinsics.length - 1)]!;
    const o = [pose[3]!, pose[7]!, pose[11]!] as const;
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        // The ray through the middle of a latent pixel.
        const local = [((x + 0.5) / w - cx) / fx, ((y + 0.5) / h - cy) / fy, 1] as const;
        const turned = [0, 4, 8].map((r) => pose[r]! * local[0] + pose[r + 1]! * local[1] + pose[r + 2]! * local[2]);
        const length = Math.hypot(...turned);
        const d = turned.map((v) => v / length) as [number, number, number];
        const m = [o[1] * d[2] - o[2] * d[1], o[2] * d[0] - o[0] * d[2], o[0] * d[1] - o[1] * d[0]];
        const all = isMomentFirst ? [...m, ...d] : [...d, ...m];
        for (let ch = 0; ch < 6; ch++) rays.data[((ch * t + f) * h + y) * w + x] = all[ch]!;
      }
    }
  }
  return rays;
}

/** A camera path of a multi-view model, float32 [1, 192]: a list of 192 numbers in JSON, CSV or `.npy`, in any shape. */
export function readTrajectory(path: string): NdArray & { data: Float32Array } {
  const { values, shape } = readTable('trajectory', path);
  if (values.length !== TRAJECTORY_SIZE) {
    throw new InputError('trajectory', { got: `[${shape}] in ${path}`, need: `${TRAJECTORY_SIZE} numbers` });
  }
  return f32([1, TRAJECTORY_SIZE], Float32Array.from(values));
}

/**
 * Robot actions as the network takes them, one row [1, 1, 7] per step: rows of Δx, Δy, Δz of the tool in the axes of the frame before (m),
 * Δα, Δβ, Δγ (rad) and the gripper, as JSON, CSV or `.npy`; or JSON `{"states": [[x, y, z, α, β, γ, gripper], …]}`, poses whose
 * differences are the actions.
 */
export function readRobotActions(path: string): (NdArray & { data: Float32Array })[] {
  const states = extname(path) === '.json' ? (parsedJson('actions', path) as { states?: unknown }).states : undefined;
  const table = states === undefined ? readTable('actions', path) : tableOf('actions', states, path);
  const width = ACTION_SCALE.length;
  if (table.shape.length !== 2 || table.shape[1] !== width || table.shape[0]! < (states === undefined ? 1 : 2)) {
    throw new InputError('actions', {
      got: `[${table.shape}] in ${path}`,
      need: `rows of ${width} numbers: three of translation, three of rotation, gripper${states === undefined ? '' : '; two rows or more of states'}`,
    });
  }
  const rows = Array.from({ length: table.shape[0]! }, (_, i) =>
    Array.from({ length: width }, (_, k) => table.values[i * width + k]!),
  );
  const actions = states === undefined ? rows : rows.slice(1).map((row, i) => actionBetween(rows[i]!, row));
  return actions.map((row) =>
    f32(
      [1, 1, width],
      Float32Array.from(row, (v, k) => v * ACTION_SCALE[k]!),
    ),
  );
}

/** Rᵀ·(p' − p), the Euler angles of Rᵀ·R', and the gripper after. R = Rz(γ)·Ry(β)·Rx(α). */
export function actionBetween(before: readonly number[], after: readonly number[]): number[] {
  const [a, b] = [rotation(before), rotation(after)];
  const p = [0, 1, 2].map((i) => after[i]! - before[i]!);
  const turned = (m: readonly number[][], v: readonly number[]): number[] =>
    [0, 1, 2].map((i) => m[0]![i]! * v[0]! + m[1]![i]! * v[1]! + m[2]![i]! * v[2]!);
  const columns = [0, 1, 2].map((j) => turned(a, [b[0]![j]!, b[1]![j]!, b[2]![j]!]));
  const r = (i: number, j: number): number => columns[j]![i]!;
  const flat = Math.hypot(r(0, 0), r(1, 0));
  const beta = Math.atan2(-r(2, 0), flat);
  // Straight up or down only the sum or difference of α and γ is known: γ is 0.
  const isFlat = flat > 1e-6;
  const alpha = isFlat ? Math.atan2(r(2, 1), r(2, 2)) : Math.atan2(-r(1, 2), r(1, 1));
  const gamma = isFlat ? Math.atan2(r(1, 0), r(0, 0)) : 0;
  return [...turned(a, p), alpha, beta, gamma, after[6]!];
}

function rotation([, , , alpha, beta, gamma]: readonly number[]): number[][] {
  const [ca, sa, cb, sb, cg, sg] = [alpha!, beta!, gamma!].flatMap((v) => [Math.cos(v), Math.sin(v)]) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return [
    [cg * cb, cg * sb * sa - sg * ca, cg * sb * ca + sg * sa],
    [sg * cb, sg * sb * sa + cg * ca, sg * sb * ca - cg * sa],
    [-sb, cb * sa, cb * ca],
  ];
}

function readyRays(path: string, { t, h, w }: ClipSize): NdArray & { data: Float32Array } {
  const { shape, values } = readTable('camera', path);
  const bare = shape.length === 5 && shape[0] === 1 ? shape.slice(1) : shape;
  const isTimeFirst = bare.join() === [t, 6, h, w].join();
  if (!isTimeFirst && bare.join() !== [6, t, h, w].join()) {
    throw new InputError('camera', {
      got: `[${shape}] in ${path}`,
      need: `[${t}, 6, ${h}, ${w}] or [6, ${t}, ${h}, ${w}]: rays of every latent pixel`,
    });
  }
  const rays = f32([1, 6, t, h, w]);
  const area = h * w;
  for (let ch = 0; ch < 6; ch++) {
    for (let f = 0; f < t; f++) {
      const from = (isTimeFirst ? f * 6 + ch : ch * t + f) * area;
      for (let i = 0; i < area; i++) rays.data[(ch * t + f) * area + i] = values[from + i]!;
    }
  }
  return rays;
}

type Camera = {
  readonly intrinsics: readonly (readonly [number, number, number, number])[];
  /** Rows of 4 × 4 or 3 × 4 matrices. */
  readonly poses: readonly (readonly number[])[];
  readonly isMomentFirst: boolean;
};

function cameraJson(path: string): Camera {
  const json = parsedJson('camera', path) as Readonly<Record<string, unknown>>;
  const order = json.order ?? 'direction-first';
  if (order !== 'direction-first' && order !== 'moment-first') {
    throw new InputError('camera order', { got: order, need: '"direction-first" or "moment-first"' });
  }
  const flat = (value: unknown): unknown[] => (Array.isArray(value) ? value.flatMap(flat) : [value]);
  const list = Array.isArray(json.poses) ? json.poses.map(flat) : [];
  const first = flat(json.intrinsics);
  const rows =
    Array.isArray(json.intrinsics) && Array.isArray(json.intrinsics[0]) ? json.intrinsics.map(flat) : [first];
  return checkedCamera(rows, list, order === 'moment-first', path);
}

function cameraCsv(path: string): Camera {
  const { shape, values } = readTable('camera', path);
  if (shape[1] !== 16) {
    throw new InputError('camera', {
      got: `[${shape}] in ${path}`,
      need: 'rows of 16 numbers: fx, fy, cx, cy, then 3 × 4 of the pose',
    });
  }
  const rows = Array.from({ length: shape[0]! }, (_, i) => Array.from({ length: 16 }, (_, k) => values[i * 16 + k]!));
  return checkedCamera(
    rows.map((r) => r.slice(0, 4)),
    rows.map((r) => r.slice(4)),
    false,
    path,
  );
}

function checkedCamera(
  intrinsics: readonly (readonly unknown[])[],
  poses: readonly (readonly unknown[])[],
  isMomentFirst: boolean,
  path: string,
): Camera {
  const isRow = (row: readonly unknown[], sizes: readonly number[]): boolean =>
    sizes.includes(row.length) && row.every((v) => typeof v === 'number' && Number.isFinite(v));
  const bad = poses.findIndex((row) => !isRow(row, [12, 16]));
  if (poses.length === 0 || bad >= 0) {
    throw new InputError('camera', {
      got:
        poses.length === 0
          ? `no poses in ${path}`
          : `pose ${bad} of ${path}: ${JSON.stringify(poses[bad])?.slice(0, 80)}`,
      need: 'a list of poses, each 12 or 16 numbers, row by row',
    });
  }
  const wrong = intrinsics.findIndex((row) => !isRow(row, [4]) || (row[0] as number) <= 0 || (row[1] as number) <= 0);
  if (wrong >= 0 || (intrinsics.length !== 1 && intrinsics.length !== poses.length)) {
    throw new InputError('camera intrinsics', {
      got: `${JSON.stringify(intrinsics[Math.max(0, wrong)])?.slice(0, 80)} in ${path}`,
      need: '[fx, fy, cx, cy] as shares of width and height, once or once per pose; such as [0.9, 1.6, 0.5, 0.5]',
    });
  }
  return { intrinsics: intrinsics as Camera['intrinsics'], poses: poses as Camera['poses'], isMomentFirst };
}

/** Inverse of a rigid motion, 3 × 4. */
function inverse(p: readonly number[]): number[] {
  const column = (j: number): number[] => [p[j]!, p[4 + j]!, p[8 + j]!];
  const t = [p[3]!, p[7]!, p[11]!];
  return [0, 1, 2].flatMap((i) => {
    const c = column(i);
    return [...c, -(c[0]! * t[0]! + c[1]! * t[1]! + c[2]! * t[2]!)];
  });
}

/** a·b of rigid motions, 3 × 4. */
function product(a: readonly number[], b: readonly number[]): number[] {
  return [0, 1, 2].flatMap((i) =>
    [0, 1, 2, 3].map(
      (j) => a[i * 4]! * b[j]! + a[i * 4 + 1]! * b[4 + j]! + a[i * 4 + 2]! * b[8 + j]! + (j === 3 ? a[i * 4 + 3]! : 0),
    ),
  );
}

function readBytes(name: string, path: string): Buffer {
  const bytes = existsSync(path) ? statSync(path).size : undefined;
  if (bytes === undefined) throw new InputError(name, { got: path, need: 'a file that is there' });
  if (bytes > MAX_BYTES) throw new InputError(name, { got: `${bytes} bytes`, need: `at most ${MAX_BYTES}` });
  return readFileSync(path);
}

function parsedJson(name: string, path: string): unknown {
  try {
    return JSON.parse(readBytes(name, path).toString('utf8'));
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw new InputError(name, {
      got: path,
      need: 'JSON, or a file named .csv or .npy',
      why: (cause as Error).message,
    });
  }
}

function readTable(name: string, path: string): Table {
  if (extname(path) === '.npy') {
    const { shape, data } = readNpy(readBytes(name, path), path);
    requireFiniteTable(name, data, path);
    return { shape, values: data };
  }
  if (extname(path) !== '.csv') return tableOf(name, parsedJson(name, path), path);
  const lines = readBytes(name, path)
    .toString('utf8')
    .split('\n')
    .map((line) => line.trim());
  const rows = lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split(/[,;\s]+/));
  // A first row of names is passed over.
  const numbers = (rows[0]?.some((cell) => Number.isNaN(Number(cell))) ? rows.slice(1) : rows).map((r) =>
    r.map(Number),
  );
  return tableOf(name, numbers, path);
}

/** Nested lists of numbers, all of one length on each level. */
function tableOf(name: string, value: unknown, path: string): Table {
  const shape: number[] = [];
  for (let at = value; Array.isArray(at); at = at[0]) shape.push(at.length);
  const values: number[] = [];
  const visit = (at: unknown, level: number): void => {
    if (Array.isArray(at) && at.length === shape[level]) for (const one of at) visit(one, level + 1);
    else if (typeof at === 'number' && level === shape.length) values.push(at);
    else {
      throw new InputError(name, {
        got: `${JSON.stringify(at)?.slice(0, 60)} in ${path}`,
        need: 'numbers, in rows of the same length',
      });
    }
  };
  visit(value, 0);
  if (values.length !== sizeOf(shape) || values.length === 0) {
    throw new InputError(name, { got: path, need: 'a list of numbers' });
  }
  requireFiniteTable(name, values, path);
  return { shape, values };
}

function requireFiniteTable(name: string, values: ArrayLike<number>, path: string): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new InputError(name, { got: `${values[i]} at place ${i} of ${path}`, need: 'finite numbers' });
    }
  }
}
