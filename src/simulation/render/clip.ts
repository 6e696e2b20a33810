// Whole clips in memory: all frames of one camera, in this thread. The pool (pool.ts) does the same on all cores.

import type { Scene, Trajectory } from '../scene.ts';
import type { ChannelName, FrameChannels } from './channels.ts';
import { createRenderer, type RenderOptions } from './renderer.ts';

/** Channels of a clip: as in `FrameChannels`, with T frames in front. */
export type ClipChannels = FrameChannels & {
  readonly frames: number;
  readonly width: number;
  readonly height: number;
};

/** Values per pixel and bytes per value of each channel. */
const LAYOUT: Readonly<Record<ChannelName, readonly [number, number]>> = {
  rgb: [3, 1],
  depth: [1, 4],
  instance: [1, 2],
  normal: [3, 4],
  flow: [2, 4],
  nextDepth: [1, 4],
};

/** All channels, in the order of `LAYOUT`. */
export const CHANNELS = Object.keys(LAYOUT) as readonly ChannelName[];

/** Allocates a clip; rgb is always there. `shared`: in memory that other threads can write. */
export function newClip(
  frames: number,
  width: number,
  height: number,
  channels: readonly ChannelName[],
  shared = false,
): ClipChannels {
  const make = (name: ChannelName): ArrayBufferLike => {
    const [values, bytes] = LAYOUT[name];
    const size = frames * width * height * values * bytes;
    return shared ? new SharedArrayBuffer(size) : new ArrayBuffer(size);
  };
  const has = (name: ChannelName): boolean => channels.includes(name);
  return {
    frames,
    width,
    height,
    rgb: new Uint8Array(make('rgb')),
    ...(has('depth') ? { depth: new Float32Array(make('depth')) } : {}),
    ...(has('instance') ? { instance: new Uint16Array(make('instance')) } : {}),
    ...(has('normal') ? { normal: new Float32Array(make('normal')) } : {}),
    ...(has('flow') ? { flow: new Float32Array(make('flow')) } : {}),
    ...(has('nextDepth') ? { nextDepth: new Float32Array(make('nextDepth')) } : {}),
  };
}

/** One frame of a clip; shares the clip's memory. */
export function frameView(clip: ClipChannels, frame: number): FrameChannels {
  const pixels = clip.width * clip.height;
  const from = frame * pixels;
  const to = from + pixels;
  return {
    rgb: clip.rgb.subarray(from * 3, to * 3),
    ...(clip.depth && { depth: clip.depth.subarray(from, to) }),
    ...(clip.instance && { instance: clip.instance.subarray(from, to) }),
    ...(clip.normal && { normal: clip.normal.subarray(from * 3, to * 3) }),
    ...(clip.flow && { flow: clip.flow.subarray(from * 2, to * 2) }),
    ...(clip.nextDepth && { nextDepth: clip.nextDepth.subarray(from, to) }),
  };
}

/** Options of `renderClip`. */
export type RenderClipOptions = RenderOptions & {
  /** Index into `scene.cameras`. Default 0. */
  readonly camera?: number;
  /** Channels beside rgb. Default none. */
  readonly channels?: readonly ChannelName[];
};

/** Renders all frames of one camera in this thread. */
export function renderClip(scene: Scene, trajectory: Trajectory, options: RenderClipOptions = {}): ClipChannels {
  const { camera = 0, channels = [], ...rest } = options;
  const renderer = createRenderer(scene, trajectory, camera, rest);
  const clip = newClip(trajectory.frames, renderer.width, renderer.height, channels);
  for (let t = 0; t < trajectory.frames; t++) renderer.render(t, frameView(clip, t));
  return clip;
}
