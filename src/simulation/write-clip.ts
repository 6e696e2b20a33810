// A clip as a folder of files: scene, trajectory, captions, and per camera video with ground truth. Frames stream through
// in runs, so that long or large clips do not have to fit in memory.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { InputError, numberToHalf, throwIfAborted } from '../base/index.ts';
import {
  createPendingFile,
  diskError,
  makeFolder,
  type PendingFile,
  writeFileAtomic,
  writeFully,
} from '../formats/index.ts';
import { encodeMp4, type Frames } from '../media/index.ts';
import { captionOf } from './captions.ts';
import { ENGINE } from './physics.ts';
import { type ChannelName, type FrameChannels, occlusionOf } from './render/channels.ts';
import { frameView } from './render/clip.ts';
import { openRenderPool, type RenderPool } from './render/pool.ts';
import type { RenderOptions } from './render/renderer.ts';
import { type BodyView, visibilityMeter } from './render/visibility.ts';
import type { Scene, Trajectory } from './scene.ts';
import { STATE_FIELDS, stateBytes, trajectoryHash } from './trajectory.ts';

/** What can be written per camera beside colour. */
export type ClipFile = 'depth' | 'instance' | 'normal' | 'flow' | 'occlusion' | 'boxes';

/** Everything that can be written. */
export const CLIP_FILES: readonly ClipFile[] = ['depth', 'instance', 'normal', 'flow', 'occlusion', 'boxes'];

/** Options of `writeClip`. */
export type WriteClipOptions = RenderOptions & {
  /** Folder to write; made when missing. Files with the same names are replaced. */
  readonly dir: string;
  /** Indices into `scene.cameras`. Default: all. */
  readonly cameras?: readonly number[];
  /** Ground truth to write. Default: all of `CLIP_FILES`. */
  readonly files?: readonly ClipFile[];
  /** `mp4` (visually lossless, even sides only) or `png` (exact, one file per frame). Default `mp4`. */
  readonly rgb?: 'mp4' | 'png';
  /** Threads, when no pool is given. Default: one per core. */
  readonly workers?: number;
  /** A pool to share between clips; it is not disposed. */
  readonly pool?: RenderPool;
  readonly signal?: AbortSignal;
};

/** What `writeClip` tells. */
export type WriteClipEvent =
  | { readonly type: 'start'; readonly dir: string; readonly frames: number; readonly cameras: number }
  | { readonly type: 'camera'; readonly name: string; readonly files: readonly string[]; readonly seconds: number }
  | { readonly type: 'done'; readonly dir: string; readonly files: readonly string[]; readonly sha256: string };

/** Bytes of rendered channels held at once. */
const RUN_BYTES = 128 * 2 ** 20;

/** Renders a simulated clip and writes it, camera by camera. `state.json` comes last: a folder that has it is complete. */
export async function* writeClip(
  { scene, trajectory }: { readonly scene: Scene; readonly trajectory: Trajectory },
  options: WriteClipOptions,
): AsyncGenerator<WriteClipEvent> {
  const { dir, cameras = scene.cameras.map((_, i) => i), signal } = options;
  for (const c of cameras) {
    if (scene.cameras[c] === undefined) {
      throw new InputError('cameras', { got: c, need: `0…${scene.cameras.length - 1}` });
    }
  }
  const pool = options.pool ?? openRenderPool(options.workers === undefined ? {} : { workers: options.workers });
  const files: string[] = [];
  const put = (name: string, content: string | Uint8Array): void => {
    writeFileAtomic(join(dir, name), content);
    files.push(name);
  };
  try {
    yield { type: 'start', dir, frames: trajectory.frames, cameras: cameras.length };
    makeFolder(dir);
    put('scene.json', `${JSON.stringify(scene, null, 1)}\n`);
    put('cameras.json', `${JSON.stringify(scene.cameras, null, 1)}\n`);
    put('caption.json', `${JSON.stringify(captionsOf(scene, trajectory), null, 1)}\n`);
    put('contacts.jsonl', (trajectory.contacts ?? []).map((c) => `${JSON.stringify(c)}\n`).join(''));
    for (const c of cameras) {
      const from = Date.now();
      const written = await writeCamera(scene, trajectory, c, pool, options);
      files.push(...written);
      yield { type: 'camera', name: scene.cameras[c]!.name, files: written, seconds: (Date.now() - from) / 1000 };
    }
    throwIfAborted(signal);
    put('state.bin', stateBytes(trajectory));
    const sha256 = await trajectoryHash(trajectory);
    put('state.json', `${JSON.stringify(stateHeader(scene, trajectory, sha256), null, 1)}\n`);
    yield { type: 'done', dir, files, sha256 };
  } finally {
    if (options.pool === undefined) await pool.dispose();
  }
}

/** Three lengths, each with and without the outcome. */
function captionsOf(scene: Scene, trajectory: Trajectory): Record<string, string> {
  const caption: Record<string, string> = {};
  for (const style of ['short', 'medium', 'long'] as const) {
    caption[style] = captionOf(scene, trajectory, { style, outcome: true });
    caption[`${style}WithoutOutcome`] = captionOf(scene, trajectory, { style, outcome: false });
  }
  return caption;
}

function stateHeader(scene: Scene, trajectory: Trajectory, sha256: string): Record<string, unknown> {
  return {
    shape: [trajectory.frames, trajectory.bodies, STATE_FIELDS],
    fields: ['position 3', 'quaternion wxyz 4', 'linear velocity 3', 'angular velocity 3'],
    dtype: 'float32',
    engine: ENGINE,
    settings: { dt: scene.dt, fps: scene.fps, gravity: scene.gravity },
    sha256,
  };
}

async function writeCamera(
  scene: Scene,
  trajectory: Trajectory,
  camera: number,
  pool: RenderPool,
  options: WriteClipOptions,
): Promise<string[]> {
  const { files = CLIP_FILES, rgb = 'mp4', signal, shadowSamples, antialias, cache } = options;
  const { name, width, height } = scene.cameras[camera]!;
  const has = (file: ClipFile): boolean => files.includes(file);
  const folder = join(options.dir, name);
  makeFolder(folder);
  const written: string[] = [];
  const open: PendingFile[] = [];
  const npy = (file: string, tail: readonly number[]): ((frame: number, values: Float32Array) => void) => {
    const pending = createPendingFile(join(folder, file));
    open.push(pending);
    written.push(`${name}/${file}`);
    const header = npyHeader([trajectory.frames, ...tail]);
    writeFully(pending.fd, header, 0);
    return (frame, values) => {
      const bytes = halfBytes(values);
      writeFully(pending.fd, bytes, header.length + frame * bytes.length);
    };
  };
  const images = (file: string): ((frame: number, data: Uint8Array, channels: 1 | 3) => Promise<void>) => {
    makeFolder(join(folder, file));
    written.push(`${name}/${file}/`);
    return async (frame, data, channels) => {
      const png = await sharp(data, { raw: { width, height, channels } })
        .toColourspace(channels === 1 ? 'b-w' : 'srgb')
        .png()
        .toBuffer();
      const path = join(folder, file, `${String(frame).padStart(5, '0')}.png`);
      // Not synced one by one, which would cost more than rendering; `state.json` at the end marks the folder complete.
      await writeFile(path, png).catch((error: unknown) => {
        throw diskError(error, 'write', path);
      });
    };
  };
  const meter = has('boxes') ? visibilityMeter(scene, trajectory, camera) : undefined;
  const views: BodyView[][] = [];

  // Occlusion of a frame needs the next one.
  let before: FrameChannels | undefined;
  async function* frames(): AsyncGenerator<Frames> {
    const putDepth = has('depth') ? npy('depth.npy', [height, width]) : undefined;
    const putFlow = has('flow') ? npy('flow.npy', [height, width, 2]) : undefined;
    const putInstance = has('instance') ? images('instance') : undefined;
    const putNormal = has('normal') ? images('normal') : undefined;
    const putOcclusion = has('occlusion') ? images('occlusion') : undefined;
    const putRgb = rgb === 'png' ? images('rgb') : undefined;
    const channels: ChannelName[] = ['rgb'];
    if (putDepth || putOcclusion) channels.push('depth');
    if (putInstance || putOcclusion || meter) channels.push('instance');
    if (putNormal) channels.push('normal');
    if (putFlow || putOcclusion) channels.push('flow');
    if (putOcclusion) channels.push('nextDepth');
    const run = Math.max(pool.workers, Math.floor(RUN_BYTES / (width * height * 33)));
    for (let first = 0; first < trajectory.frames; first += run) {
      const end = Math.min(trajectory.frames, first + run);
      const clip = await pool.render(scene, trajectory, {
        camera,
        channels,
        range: [first, end],
        ...(signal && { signal }),
        ...(shadowSamples !== undefined && { shadowSamples }),
        ...(antialias !== undefined && { antialias }),
        ...(cache !== undefined && { cache }),
      });
      for (let t = first; t < end; t++) {
        throwIfAborted(signal);
        const frame = frameView(clip, t - first);
        putDepth?.(t, withoutSky(frame.depth!));
        putFlow?.(t, frame.flow!);
        const ids = putInstance && idBytes(frame.instance!, scene.bodies.length);
        const hidden = putOcclusion && before && hiddenBytes(width, height, before, frame);
        await Promise.all([
          ids && putInstance(t, ids, scene.bodies.length > 255 ? 3 : 1),
          putNormal?.(t, normalBytes(frame.normal!), 3),
          putRgb?.(t, frame.rgb, 3),
          hidden && putOcclusion(t - 1, hidden, 1),
          t === trajectory.frames - 1 && putOcclusion?.(t, new Uint8Array(width * height), 1),
        ]);
        before = frame;
        if (meter) views.push(meter.measure(t, frame.instance!));
      }
      // A copy: encoders hand pixels to other processes, which shared memory does not allow.
      yield { dtype: 'u8', shape: [end - first, height, width, 3], data: clip.rgb.slice() };
    }
  }

  try {
    if (rgb === 'mp4') {
      written.push(`${name}/rgb.mp4`);
      await encodeMp4(frames(), { path: join(folder, 'rgb.mp4'), fps: scene.fps, ...(signal && { signal }) });
    } else for await (const _ of frames()) throwIfAborted(signal);
    for (const file of open) file.commit();
    open.length = 0;
  } finally {
    for (const file of open) file.abort();
  }
  if (meter) {
    const extents = scene.bodies.map((b) => ({ id: b.id, name: b.name, class: b.class }));
    writeFileAtomic(join(folder, 'boxes.json'), `${JSON.stringify({ bodies: extents, frames: views })}\n`);
    written.push(`${name}/boxes.json`);
  }
  return written;
}

function withoutSky(depth: Float32Array): Float32Array {
  return depth.map((z) => (z === Number.POSITIVE_INFINITY ? 0 : z));
}

/** Ids as grey levels; with more than 255 bodies as red + 256·green. */
function idBytes(ids: Uint16Array | Uint8Array, bodies: number): Uint8Array {
  if (bodies <= 255) return Uint8Array.from(ids);
  const out = new Uint8Array(ids.length * 3);
  ids.forEach((id, i) => {
    out[i * 3] = id & 255;
    out[i * 3 + 1] = id >> 8;
  });
  return out;
}

function normalBytes(normal: Float32Array): Uint8Array {
  return Uint8Array.from(normal, (n) => Math.round(127.5 + 127.5 * n));
}

function hiddenBytes(width: number, height: number, now: FrameChannels, next: FrameChannels): Uint8Array {
  const { instance, flow, nextDepth } = now;
  return occlusionOf(
    width,
    height,
    { instance: instance!, flow: flow!, nextDepth: nextDepth! },
    { instance: next.instance!, depth: next.depth! },
  ).map((hidden) => hidden * 255);
}

function halfBytes(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length * 2);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) view.setUint16(i * 2, numberToHalf(values[i]!), true);
  return bytes;
}

/** Header of a float16 `.npy` file, version 1.0, padded to 64 bytes. */
function npyHeader(shape: readonly number[]): Uint8Array {
  const dictionary = `{'descr': '<f2', 'fortran_order': False, 'shape': (${shape.join(', ')}), }`;
  const text = `${dictionary.padEnd(Math.ceil((dictionary.length + 11) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + text.length);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length & 255, text.length >> 8]);
  bytes.set(new TextEncoder().encode(text), 10);
  return bytes;
}
