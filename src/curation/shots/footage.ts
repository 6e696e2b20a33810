// Footage for training the shot detector out of still pictures: a camera that pans, zooms and shakes over a picture while
// patches move through it, and a drive through a world of picture patches in true perspective. So a detector can be
// trained without a single recording. All at the size of `FOOTAGE`; a frame costs about a millisecond.
import sharp from 'sharp';
import { OrreryError, type RandomStream } from '../../base/index.ts';
import { FOOTAGE, type Footage } from './synthetic.ts';

const { width: W, height: H } = FOOTAGE;
/** Width that pictures are read at: a window of a fifth still has a pixel for each of the footage. */
const PICTURE_WIDTH = 480;

/** A still picture, uint8 RGB. */
export type Picture = { readonly width: number; readonly height: number; readonly data: Uint8Array };

/** Whether a file name is that of a still picture. */
export const isPicture = (path: string): boolean => /\.(jpe?g|png|webp|tiff?|avif)$/i.test(path);

/** Reads a picture for footage. */
export async function readPicture(path: string): Promise<Picture> {
  try {
    const image = sharp(path).flatten({ background: '#808080' }).toColourspace('srgb').removeAlpha();
    const { data, info } = await image.resize(PICTURE_WIDTH).raw().toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, data: new Uint8Array(data) };
  } catch (cause) {
    throw new OrreryError('data', `${path}: not a readable picture (${(cause as Error).message})`, { cause });
  }
}

/** A patch of a picture with a soft elliptic or a hard rectangular edge. */
type Patch = {
  readonly from: Picture;
  readonly x: number;
  readonly y: number;
  readonly size: number;
  isRound: boolean;
};

function patchOf(random: RandomStream, pictures: readonly Picture[]): Patch {
  const from = random.pick(pictures);
  const size = random.uniform(30, Math.min(160, from.height - 2));
  return {
    from,
    size,
    x: random.uniform(0, from.width - size - 1),
    y: random.uniform(0, from.height - size - 1),
    isRound: random.uniform() < 0.6,
  };
}

/** Draws a patch into the box around (cx, cy) with half sides (rx, ry), footage pixels. */
function draw(out: Uint8Array, patch: Patch, cx: number, cy: number, rx: number, ry: number, light: number): void {
  const { from, size } = patch;
  const [y0, y1] = [Math.max(0, Math.ceil(cy - ry)), Math.min(H, Math.ceil(cy + ry))];
  const [x0, x1] = [Math.max(0, Math.ceil(cx - rx)), Math.min(W, Math.ceil(cx + rx))];
  for (let y = y0; y < y1; y++)
    for (let x = x0; x < x1; x++) {
      const [u, v] = [(x - cx) / rx, (y - cy) / ry];
      const alpha = patch.isRound ? Math.min(1, Math.max(0, (1 - u * u - v * v) * 4)) : 1;
      if (alpha <= 0) continue;
      const px = Math.floor(patch.x + ((u + 1) / 2) * size);
      const py = Math.floor(patch.y + ((v + 1) / 2) * size);
      const p = (py * from.width + px) * 3;
      const q = (y * W + x) * 3;
      for (let c = 0; c < 3; c++)
        out[q + c] = out[q + c]! * (1 - alpha) + Math.min(255, from.data[p + c]! * light) * alpha;
    }
}

/** Smooth random motion: a sum of slow waves, about ±1. */
function wander(random: RandomStream): (t: number) => number {
  const waves = Array.from({ length: 3 }, (_, i) => ({
    rate: random.uniform(0.01, 0.05) * (i + 1),
    phase: random.uniform(0, 6.28),
    size: 0.7 / (i + 1),
  }));
  return (t) => waves.reduce((sum, w) => sum + w.size * Math.sin(w.phase + w.rate * t), 0);
}

/** A camera over a still picture, with up to three patches moving through it. */
export function filmPicture(random: RandomStream, pictures: readonly Picture[], frames: number): Footage {
  const picture = random.pick(pictures);
  const data = new Uint8Array(frames * FOOTAGE.bytes);
  const widest = Math.min(picture.width, (picture.height * W) / H) - 2;
  const base = random.uniform(0.3, 0.95) * widest;
  const reach = random.uniform() < 0.4 ? 0.02 : random.uniform(0.05, 0.5);
  const [mx, my, mz] = [wander(random), wander(random), wander(random)];
  const zoom = random.uniform() < 0.5 ? 0 : random.uniform(0.02, 0.25);
  const shake = random.uniform() < 0.4 ? random.uniform(0, 2.5) : 0;
  const things = Array.from({ length: random.integer(0, 3) }, () => ({
    patch: patchOf(random, pictures),
    x: wander(random),
    y: wander(random),
    rate: random.uniform(0.3, 2.5),
    r: random.uniform(4, 20),
    squeeze: random.uniform(0.5, 1.6),
  }));
  for (let t = 0; t < frames; t++) {
    const out = data.subarray(t * FOOTAGE.bytes, (t + 1) * FOOTAGE.bytes);
    const w = Math.max(60, Math.min(widest, base * (1 + zoom * mz(t))));
    const h = (w * H) / W;
    const jitter = (k: number): number => shake * Math.sin(t * 1.9 + k) * Math.sin(t * 0.73 + 2 * k);
    const x0 = clamp((picture.width - w) * (0.5 + reach * mx(t)) + jitter(0), 0, picture.width - w - 1.001);
    const y0 = clamp((picture.height - h) * (0.5 + reach * my(t)) + jitter(1), 0, picture.height - h - 1.001);
    crop(picture, x0, y0, w / W, out);
    for (const { patch, x, y, rate, r, squeeze } of things)
      draw(out, patch, W / 2 + x(t * rate) * W * 0.6, H / 2 + y(t * rate) * H * 0.5, r, r * squeeze, 1);
  }
  return { name: 'picture', frames, data };
}

/** Averages four points of each cell of a window. */
function crop(picture: Picture, x0: number, y0: number, step: number, out: Uint8Array): void {
  const { width, data } = picture;
  for (let y = 0; y < H; y++)
    for (let x = 0; x < W; x++) {
      const q = (y * W + x) * 3;
      let [r, g, b] = [0, 0, 0];
      for (let k = 0; k < 4; k++) {
        const px = Math.floor(x0 + (x + (k & 1 ? 0.75 : 0.25)) * step);
        const py = Math.floor(y0 + (y + (k & 2 ? 0.75 : 0.25)) * step);
        const p = (py * width + px) * 3;
        r += data[p]!;
        g += data[p + 1]!;
        b += data[p + 2]!;
      }
      out[q] = r / 4;
      out[q + 1] = g / 4;
      out[q + 2] = b / 4;
    }
}

type Thing = {
  readonly x: number;
  /** Distance along the way at the start, metres, and own speed, metres per frame. */
  readonly z: number;
  readonly speed: number;
  readonly halfWidth: number;
  readonly height: number;
  readonly patch: Patch;
};

/** A drive: ground in perspective with or without lanes, things on both sides, others on the way, a far backdrop. */
export function filmDrive(random: RandomStream, pictures: readonly Picture[], frames: number): Footage {
  const data = new Uint8Array(frames * FOOTAGE.bytes);
  const ground = patchOf(random, pictures);
  const backdrop = random.pick(pictures);
  const horizon = H * random.uniform(0.32, 0.6);
  const focal = W * random.uniform(0.5, 1.3);
  const eye = random.uniform(0.8, 2.5);
  const speed = random.uniform() < 0.1 ? 0 : random.uniform(0.05, 1);
  const [turn, bob, shade, sway] = [wander(random), wander(random), wander(random), wander(random)];
  const turning = random.uniform(0, 25);
  const shading = random.uniform() < 0.5 ? 0 : random.uniform(0, 0.25);
  const roadWidth = random.uniform(2.5, 8);
  const hasLanes = random.uniform() < 0.6;
  // Mostly grey, sometimes any colour.
  const base = random.uniform(30, 150);
  const spread = random.uniform() < 0.75 ? 12 : 60;
  const road = [0, 1, 2].map(() => clamp(base + random.uniform(-spread, spread), 5, 230));
  const grain = random.uniform(0.1, 0.6);
  const far = speed * frames + 120;
  const things: Thing[] = [];
  const density = random.uniform(0.05, 0.5);
  for (let z = 2; z < far; z += random.uniform(0.2, 2) / density) {
    const side = random.uniform() < 0.5 ? -1 : 1;
    things.push({
      x: side * (roadWidth / 2 + random.uniform(0.8, 14)),
      z,
      speed: 0,
      halfWidth: random.uniform(0.2, 4),
      height: random.uniform(0.8, 9),
      patch: patchOf(random, pictures),
    });
  }
  for (let i = 0; i < random.integer(0, 5); i++)
    things.push({
      x: random.uniform(-0.5, 0.5) * roadWidth,
      z: random.uniform(4, 60),
      speed: speed * random.uniform(0.7, 1.4) * (random.uniform() < 0.2 ? -1 : 1),
      halfWidth: random.uniform(0.6, 1.3),
      height: random.uniform(1.2, 3),
      patch: { ...patchOf(random, pictures), isRound: false },
    });
  const bonnet =
    random.uniform() < 0.3 ? { patch: patchOf(random, pictures), height: random.uniform(4, 10) } : undefined;
  const sky = (backdrop.width - 2) * random.uniform(0.3, 0.8);
  for (let t = 0; t < frames; t++) {
    const out = data.subarray(t * FOOTAGE.bytes, (t + 1) * FOOTAGE.bytes);
    const travel = speed * t;
    const light = 1 + shading * shade(t);
    const cx = W / 2 + turning * turn(t * 0.5);
    const level = horizon + 0.6 * bob(t * 8) * Math.min(1, speed * 2);
    const eyeX = 0.6 * sway(t);
    const start = clamp(
      (backdrop.width - sky) * (0.5 + (turning / 60) * turn(t * 0.5)),
      0,
      backdrop.width - sky - 1.001,
    );
    for (let y = 0; y < H; y++) {
      const isGround = y > level + 0.2;
      const z = isGround ? (focal * eye) / (y - level) : 0;
      for (let x = 0; x < W; x++) {
        const q = (y * W + x) * 3;
        if (!isGround) {
          const px = Math.floor(start + (x / W) * sky);
          const py = Math.floor(clamp((y / Math.max(1, level)) * backdrop.height * 0.6, 0, backdrop.height - 1));
          const p = (py * backdrop.width + px) * 3;
          for (let c = 0; c < 3; c++) out[q + c] = Math.min(255, backdrop.data[p + c]! * light);
          continue;
        }
        const wx = ((x + 0.5 - cx) * z) / focal + eyeX;
        const wz = z + travel;
        // Beyond the resolution of a pixel the texture is its mean.
        const sharpness = Math.max(0, 1 - z / 40);
        const { from, size } = ground;
        const px = Math.floor(ground.x + mirrored(wx * 8, size));
        const py = Math.floor(ground.y + mirrored(wz * 8, size));
        const p = (py * from.width + px) * 3;
        const isRoad = Math.abs(wx) < roadWidth / 2;
        const isMark =
          hasLanes && (Math.abs(Math.abs(wx) - roadWidth / 2) < 0.12 || (Math.abs(wx) < 0.1 && wz % 6 < 3));
        for (let c = 0; c < 3; c++) {
          const texture = from.data[p + c]! * sharpness + 120 * (1 - sharpness);
          const v = isRoad ? road[c]! + (texture - 120) * grain * 0.5 : road[c]! * 0.4 + texture * 0.6;
          out[q + c] = clamp((isMark ? v + 90 * sharpness : v) * light, 0, 255);
        }
      }
    }
    const near = things
      .map((one) => ({ one, z: one.z + one.speed * t - travel }))
      .filter(({ z }) => z > 0.6 && z < 110)
      .sort((a, b) => b.z - a.z);
    for (const { one, z } of near) {
      const scale = focal / z;
      const [rx, ry] = [one.halfWidth * scale, (one.height * scale) / 2];
      if (rx < 0.4 || ry < 0.4) continue;
      draw(out, one.patch, cx + (one.x - eyeX) * scale, level + eye * scale - ry, rx, ry, light);
    }
    if (bonnet !== undefined) draw(out, bonnet.patch, W / 2, H + 2, W * 0.55, bonnet.height, light);
  }
  return { name: 'drive', frames, data };
}

const clamp = (v: number, low: number, high: number): number => Math.max(low, Math.min(high, v));

/** Position in 0…size that runs to and fro. */
function mirrored(v: number, size: number): number {
  const m = ((v % (2 * size)) + 2 * size) % (2 * size);
  return Math.min(m < size ? m : 2 * size - m, size - 1);
}
