// Synthetic edits for training the shot detector: shots cut from source footage and from drawn scenes, joined by known
// transitions, with the things inside shots that fool detectors (flashes, exposure, whip pans, passing objects).
// Everything happens on small pictures, where blending is as linear as in full size: an edit costs milliseconds.
import type { RandomStream } from '../../base/index.ts';
import { TINY } from './features.ts';

/** Footage at twice the size of the small pictures: uint8 RGB [n, 54, 96, 3]. */
export type Footage = { readonly name: string; readonly frames: number; readonly data: Uint8Array };

export const FOOTAGE = { width: 96, height: 54, bytes: 96 * 54 * 3 } as const;

/** A transition of an edit, frames inclusive; a cut has start = end = first frame of the new shot. */
export type Truth = { readonly start: number; readonly end: number };

/** An edit: small frames uint8 [n, 27, 48, 3] and its transitions. */
export type Edit = { readonly frames: number; readonly data: Uint8Array; readonly transitions: readonly Truth[] };

const { width: W, height: H } = TINY;
const PIXELS = W * H * 3;

/** A moving window over a picture, in footage pixels. */
type Shot = (t: number) => Float32Array;

/** Makes one edit of about `length` frames. */
export function makeEdit(random: RandomStream, footage: readonly Footage[], length: number): Edit {
  const frames: Float32Array[] = [];
  const transitions: Truth[] = [];
  let { shot, look } = newShot(random, footage);
  let t = 0;
  const take = (): Float32Array => shot(t++);
  while (frames.length < length) {
    const hold = random.uniform() < 0.15 ? random.integer(6, 20) : random.integer(18, 130);
    const kept: Float32Array[] = [];
    for (let i = 0; i < hold; i++) kept.push(take());
    disturb(random, kept);
    frames.push(...kept);
    if (frames.length >= length) break;
    const isJump = random.uniform() < 0.14 && look.clip !== undefined;
    const old = { shot, t };
    if (isJump) t += random.integer(20, 400);
    else {
      // Shots of one scene look alike: the same take in another crop, or another take in the same light.
      ({ shot, look } = newShot(random, footage, random.uniform() < 0.35 ? look : undefined));
      t = random.integer(0, 300);
    }
    const kind = random.uniform();
    const first = frames.length;
    if (kind < 0.36 || (isJump && kind < 0.8)) transitions.push({ start: first, end: first });
    else if (kind < 0.74 || isJump) {
      const n = random.integer(5, 40);
      const ease = random.uniform() < 0.2;
      for (let i = 0; i < n; i++) {
        let a = (i + 1) / (n + 1);
        if (ease) a = a * a * (3 - 2 * a);
        frames.push(mix(old.shot(old.t++), take(), a));
      }
      transitions.push({ start: first, end: first + n - 1 });
    } else if (kind < 0.88) {
      fade(random, frames, () => old.shot(old.t++), take);
      transitions.push({ start: first, end: frames.length - 1 });
    } else {
      wipe(random, frames, () => old.shot(old.t++), take);
      transitions.push({ start: first, end: frames.length - 1 });
    }
  }
  const n = Math.min(frames.length, length);
  const data = new Uint8Array(n * PIXELS);
  // Compression noise: small, constant over a few frames.
  const grain = random.uniform(0, 2.5);
  for (let i = 0; i < n; i++) {
    const from = frames[i]!;
    for (let p = 0; p < PIXELS; p++) {
      const v = from[p]! + (((p * 7919 + i * 104729) % 13) / 6 - 1) * grain;
      data[i * PIXELS + p] = v < 0 ? 0 : v > 255 ? 255 : Math.round(v);
    }
  }
  return {
    frames: n,
    data,
    transitions: transitions.filter((x) => x.start < n).map((x) => ({ ...x, end: Math.min(x.end, n - 1) })),
  };
}

function mix(a: Float32Array, b: Float32Array, share: number): Float32Array {
  const out = new Float32Array(PIXELS);
  for (let i = 0; i < PIXELS; i++) out[i] = a[i]! + (b[i]! - a[i]!) * share;
  return out;
}

function fade(random: RandomStream, frames: Float32Array[], old: () => Float32Array, next: () => Float32Array): void {
  const level = random.uniform() < 0.75 ? random.uniform(0, 12) : random.uniform(235, 255);
  const flat = new Float32Array(PIXELS).fill(level);
  const out = random.uniform() < 0.15 ? 0 : random.integer(4, 30);
  const dark = random.uniform() < 0.3 ? random.integer(15, 60) : random.integer(out === 0 ? 3 : 0, 20);
  const card = dark > 12 && random.uniform() < 0.4 ? titleCard(random, level) : undefined;
  const back = random.uniform() < 0.15 ? 0 : random.integer(4, 30);
  for (let i = 0; i < out; i++) frames.push(mix(old(), flat, (i + 1) / (out + 1)));
  for (let i = 0; i < dark; i++) {
    // A title appears and goes softly: still one transition between two pictures.
    const u = Math.min(1, i / 6, (dark - 1 - i) / 6);
    frames.push(card === undefined ? flat : mix(flat, card, Math.max(0, u)));
  }
  for (let i = 0; i < back; i++) frames.push(mix(flat, next(), (i + 1) / (back + 1)));
  if (out + dark + back === 0) frames.push(flat);
}

function titleCard(random: RandomStream, level: number): Float32Array {
  const card = new Float32Array(PIXELS).fill(level);
  const ink = level < 128 ? random.uniform(120, 255) : random.uniform(0, 100);
  for (let line = 0; line < random.integer(1, 3); line++) {
    const y = random.integer(8, 18) + 2 * line;
    const [x0, x1] = [random.integer(8, 20), random.integer(28, 40)];
    for (let x = x0; x < x1; x++) if (random.uniform() < 0.7) card.fill(ink, (y * W + x) * 3, (y * W + x) * 3 + 3);
  }
  return card;
}

function wipe(random: RandomStream, frames: Float32Array[], old: () => Float32Array, next: () => Float32Array): void {
  const n = random.integer(6, 36);
  const way = random.integer(0, 5);
  const soft = random.uniform() < 0.4 ? random.uniform(2, 8) : 0.5;
  for (let i = 0; i < n; i++) {
    const a = old();
    const b = next();
    const share = (i + 1) / (n + 1);
    const out = new Float32Array(PIXELS);
    for (let y = 0; y < H; y++)
      for (let x = 0; x < W; x++) {
        // Position of the pixel along the wipe, 0…1, and the size of the whole way in pixels.
        const [u, span] =
          way === 0
            ? [x / W, W]
            : way === 1
              ? [1 - x / W, W]
              : way === 2
                ? [y / H, H]
                : way === 3
                  ? [1 - y / H, H]
                  : way === 4
                    ? [(x / W + y / H) / 2, W]
                    : [Math.hypot(x / W - 0.5, y / H - 0.5) / 0.71, W];
        const s = Math.max(0, Math.min(1, 0.5 + ((share - u) * span) / soft));
        const p = (y * W + x) * 3;
        for (let c = 0; c < 3; c++) out[p + c] = a[p + c]! + (b[p + c]! - a[p + c]!) * s;
      }
    frames.push(out);
  }
}

/** Things inside a shot that are no transition. */
function disturb(random: RandomStream, frames: Float32Array[]): void {
  const n = frames.length;
  if (n < 24 || random.uniform() < 0.3) return;
  const each = (from: number, count: number, change: (v: number, i: number, p: number) => number): void => {
    for (let i = 0; i < count && from + i < n; i++) {
      const frame = frames[from + i]!;
      for (let p = 0; p < PIXELS; p++) frame[p] = Math.max(0, Math.min(255, change(frame[p]!, i, p)));
    }
  };
  const kind = random.integer(0, 6);
  const at = random.integer(3, n - 12);
  if (kind <= 1) {
    // Camera flash.
    const lift = random.uniform(40, 220);
    const count = random.integer(1, 4);
    const side = random.uniform() < 0.5 ? 0 : random.uniform(0.2, 0.8);
    each(at, count, (v, i, p) => {
      const x = ((p / 3) | 0) % W;
      const local = side === 0 ? 1 : Math.max(0, 1 - Math.abs(x / W - side) * 2);
      return v + lift * local * (1 - i / (count + 1));
    });
  } else if (kind === 2) {
    // Slow change of exposure, and back.
    const depth = random.uniform(-0.75, 0.5);
    const count = random.integer(12, Math.max(13, n - at));
    each(at, count, (v, i) => v * (1 + depth * Math.sin((Math.PI * (i + 1)) / (count + 1))));
  } else if (kind === 3) {
    // Whip pan: fast sideways motion with blur.
    const count = random.integer(5, 14);
    const reach = random.uniform(20, 110) * (random.uniform() < 0.5 ? -1 : 1);
    for (let i = 0; i < n - at; i++) {
      const u = Math.min(1, (i + 1) / count);
      const offset = reach * u * u * (3 - 2 * u);
      const blur = i < count ? Math.ceil(Math.abs(reach / count) * 0.8) : 0;
      frames[at + i] = slide(frames[at + i]!, offset, blur);
    }
  } else if (kind === 4) {
    // An object passes close to the camera.
    const count = random.integer(8, 30);
    const size = random.uniform(10, 30);
    const colour = [random.uniform(0, 255), random.uniform(0, 255), random.uniform(0, 255)];
    each(at, count, (v, i, p) => {
      const x = ((p / 3) | 0) % W;
      const centre = -size + ((W + 2 * size) * i) / count;
      return Math.abs(x - centre) < size / 2 ? colour[p % 3]! : v;
    });
  } else if (kind === 5) {
    // A caption or a picture in the corner appears.
    const [x0, y0, w, h] = [random.integer(0, 30), random.integer(0, 20), random.integer(6, 24), random.integer(3, 8)];
    const level = random.uniform(0, 255);
    each(at, random.integer(10, n), (v, _i, p) => {
      const q = (p / 3) | 0;
      const [x, y] = [q % W, (q / W) | 0];
      return x >= x0 && x < x0 + w && y >= y0 && y < y0 + h ? level : v;
    });
  } else {
    // Sudden but lasting change of exposure.
    const gain = random.uniform(0.75, 1.3);
    each(at, n, (v) => v * gain);
  }
}

function slide(frame: Float32Array, offset: number, blur: number): Float32Array {
  const out = new Float32Array(PIXELS);
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++)
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (let b = 0; b <= blur; b++) {
          let from = Math.round(x + offset + b - blur / 2) % (2 * W);
          if (from < 0) from += 2 * W;
          if (from >= W) from = 2 * W - 1 - from;
          sum += frame[(y * W + from) * 3 + c]!;
        }
        out[(y * W + x) * 3 + c] = sum / (blur + 1);
      }
  return out;
}

/** What shots of one scene share. The clip is missing for drawn scenes, in which a jump cannot be seen. */
type Look = {
  readonly clip: Footage | undefined;
  readonly gain: number;
  readonly tint: readonly number[];
  readonly isGrey: boolean;
};

/** A fresh shot, `like` another one or not. */
function newShot(random: RandomStream, footage: readonly Footage[], like?: Look): { shot: Shot; look: Look } {
  const isDrawn = footage.length === 0 || random.uniform() < 0.2;
  const isSameClip = like?.clip !== undefined && random.uniform() < 0.5;
  const clip = isDrawn ? undefined : isSameClip ? like.clip : random.pick(footage);
  const source = clip === undefined ? drawnScene(random) : footageAt(random, clip);
  const gain = like?.gain ?? random.uniform(0.6, 1.35);
  const tint = like?.tint ?? [random.uniform(0.85, 1.15), random.uniform(0.85, 1.15), random.uniform(0.85, 1.15)];
  const isGrey = like?.isGrey ?? random.uniform() < 0.08;
  const mirror = random.uniform() < 0.5;
  const scale = random.uniform(0.55, 1);
  const zoom = random.uniform() < 0.3 ? random.uniform(-0.003, 0.003) : 0;
  const pan = random.uniform() < 0.5 ? [random.normal() * 0.25, random.normal() * 0.12] : [0, 0];
  const shake = random.uniform() < 0.3 ? random.uniform(0, 1.2) : 0;
  const x0 = random.uniform(0, FOOTAGE.width * (1 - scale));
  const y0 = random.uniform(0, FOOTAGE.height * (1 - scale));
  const phase = random.uniform(0, 100);
  const shot: Shot = (t) => {
    const s = Math.max(0.4, Math.min(1, scale + zoom * t));
    const [w, h] = [FOOTAGE.width * s, FOOTAGE.height * s];
    const wobble = (f: number): number => shake * Math.sin(phase + t * f);
    const x = bounce(x0 + pan[0]! * t + wobble(1.7), FOOTAGE.width - w);
    const y = bounce(y0 + pan[1]! * t + wobble(2.3), FOOTAGE.height - h);
    const out = sample(source(t), x, y, w / W, h / H, mirror);
    for (let p = 0; p < PIXELS; p += 3) {
      if (isGrey) out[p] = out[p + 1] = out[p + 2] = 0.3 * out[p]! + 0.59 * out[p + 1]! + 0.11 * out[p + 2]!;
      for (let c = 0; c < 3; c++) out[p + c] = Math.min(255, out[p + c]! * gain * tint[c]!);
    }
    return out;
  };
  return { shot, look: { clip, gain, tint, isGrey } };
}

function bounce(v: number, range: number): number {
  if (range <= 0) return 0;
  const period = 2 * range;
  const m = ((v % period) + period) % period;
  return m < range ? m : period - m;
}

/** Averages the pixels of a window into a small picture. */
function sample(
  source: Uint8Array | Float32Array,
  x0: number,
  y0: number,
  dx: number,
  dy: number,
  mirror: boolean,
): Float32Array {
  const out = new Float32Array(PIXELS);
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) {
      const to = (y * W + (mirror ? W - 1 - x : x)) * 3;
      for (const [a, b] of [
        [0.25, 0.25],
        [0.75, 0.25],
        [0.25, 0.75],
        [0.75, 0.75],
      ] as const) {
        const fx = Math.max(0, Math.min(FOOTAGE.width - 1.001, x0 + (x + a) * dx - 0.5));
        const fy = Math.max(0, Math.min(FOOTAGE.height - 1.001, y0 + (y + b) * dy - 0.5));
        const [ix, iy] = [fx | 0, fy | 0];
        const [u, v] = [fx - ix, fy - iy];
        const p = (iy * FOOTAGE.width + ix) * 3;
        const q = p + FOOTAGE.width * 3;
        for (let c = 0; c < 3; c++) {
          const top = source[p + c]! * (1 - u) + source[p + 3 + c]! * u;
          const low = source[q + c]! * (1 - u) + source[q + 3 + c]! * u;
          out[to + c] = out[to + c]! + (top * (1 - v) + low * v) / 4;
        }
      }
    }
  return out;
}

function footageAt(random: RandomStream, clip: Footage): (t: number) => Uint8Array {
  const start = random.integer(0, clip.frames - 1);
  const speed = random.pick([0.5, 1, 1, 1, 1, 2]) * (random.uniform() < 0.2 ? -1 : 1);
  return (t) => {
    // To and fro: no jump at the ends.
    const i = Math.floor(bounce(start + t * speed, clip.frames - 1));
    return clip.data.subarray(i * FOOTAGE.bytes, (i + 1) * FOOTAGE.bytes);
  };
}

/** A scene of smooth noise with moving discs. */
function drawnScene(random: RandomStream): (t: number) => Float32Array {
  const base = new Float32Array(FOOTAGE.bytes);
  const waves = Array.from({ length: random.integer(3, 9) }, () => ({
    kx: random.normal() * random.pick([0.03, 0.1, 0.4]),
    ky: random.normal() * random.pick([0.03, 0.1, 0.4]),
    phase: random.uniform(0, 6.28),
    size: [random.normal() * 35, random.normal() * 35, random.normal() * 35],
  }));
  const level = [random.uniform(20, 220), random.uniform(20, 220), random.uniform(20, 220)];
  for (let y = 0; y < FOOTAGE.height; y++)
    for (let x = 0; x < FOOTAGE.width; x++) {
      const p = (y * FOOTAGE.width + x) * 3;
      for (let c = 0; c < 3; c++) base[p + c] = level[c]!;
      for (const { kx, ky, phase, size } of waves) {
        const s = Math.sin(kx * x + ky * y + phase);
        for (let c = 0; c < 3; c++) base[p + c]! += size[c]! * s;
      }
      for (let c = 0; c < 3; c++) base[p + c] = Math.max(0, Math.min(255, base[p + c]!));
    }
  const discs = Array.from({ length: random.integer(0, 6) }, () => ({
    x: random.uniform(0, FOOTAGE.width),
    y: random.uniform(0, FOOTAGE.height),
    vx: random.normal() * 0.8,
    vy: random.normal() * 0.5,
    r: random.uniform(3, 18),
    colour: [random.uniform(0, 255), random.uniform(0, 255), random.uniform(0, 255)],
  }));
  return (t) => {
    if (discs.length === 0) return base;
    const out = base.slice();
    for (const { x, y, vx, vy, r, colour } of discs) {
      const [cx, cy] = [bounce(x + vx * t, FOOTAGE.width), bounce(y + vy * t, FOOTAGE.height)];
      for (let j = Math.max(0, Math.floor(cy - r)); j < Math.min(FOOTAGE.height, cy + r); j++)
        for (let i = Math.max(0, Math.floor(cx - r)); i < Math.min(FOOTAGE.width, cx + r); i++)
          if ((i - cx) ** 2 + (j - cy) ** 2 < r * r)
            for (let c = 0; c < 3; c++) out[(j * FOOTAGE.width + i) * 3 + c] = colour[c]!;
    }
    return out;
  };
}
