// The Wan autoencoder on frames of bytes, a group of frames per run: what its layers remember stays in the engine between runs, so memory
// does not grow with the length of a clip.
import { f32, InputError, type NdArray, OrreryError } from '../../base/index.ts';
import {
  add,
  cast,
  clamp,
  constantF32,
  div,
  floor,
  input,
  mean,
  mul,
  reshape,
  slice,
  sub,
  transpose,
} from '../../graph/index.ts';
import {
  decodeWan,
  encodeWan,
  namedWeights,
  type WanConfig,
  wanCompression,
  wanMemory,
  wanPastOf,
} from '../../nets/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { Component, LatentTable } from './component.ts';
import type { Outputs } from './networks.ts';
import { damagedWeight, requireFinite } from './require-finite.ts';
import { openSessions } from './sessions.ts';
import type { PixelFrames, VideoTokenizer } from './video-tokenizer.ts';

export type WanTokenizerOptions = {
  readonly runtime: Runtime;
  readonly component: Component<WanConfig>;
  /** Mean and deviation per channel. */
  readonly latents: LatentTable;
};

/** A group of frames goes through: `first` is one frame alone. */
type Part = 'first' | 'next';
let opened = 0;

/** Opens the autoencoder; graphs are compiled at first use, by size. Latents are means, normalised. */
export function openWanTokenizer({ runtime, component, latents: table }: WanTokenizerOptions): VideoTokenizer {
  const c = component.config;
  const { time, space } = wanCompression(c);
  const sessions = openSessions(runtime, component, 'video autoencoder', 2);
  const prefix = `wan.${opened++}`;
  const stateNames = new Set<string>();
  if (table.channels !== c.latentChannels || table.frames !== 1) {
    throw new OrreryError(
      'model',
      `latent statistics of ${table.channels} channels and ${table.frames} frames, the autoencoder has ${c.latentChannels} channels, one value each; they belong to another tokenizer`,
    );
  }
  const statistic = (values: readonly number[]) =>
    constantF32([1, c.latentChannels, 1, 1, 1], Float32Array.from(values));

  const latentSize = (frames: number, height: number, width: number): { t: number; h: number; w: number } => {
    const size = { t: 1 + (frames - 1) / time, h: height / space, w: width / space };
    if (!Object.values(size).every((n) => Number.isInteger(n) && n >= 1)) {
      throw new InputError('video size', {
        got: `${frames} frames of ${width}x${height}`,
        need: `1 + ${time}k frames, sides that are multiples of ${space}`,
      });
    }
    return size;
  };

  const encodeGraph = (part: Part, height: number, width: number): Outputs => {
    const memory = wanMemory(part);
    const frames = part === 'first' ? 1 : time;
    const pixels = input('pixels', [frames, height, width, 3], 'u8');
    const values = sub(mul(cast(pixels, 'f32'), 1 / 127.5), 1);
    const video = reshape(transpose(values, [3, 0, 1, 2]), [1, 3, frames, height, width]);
    // The first half of the channels are means; the other, log variances, is for training.
    const means = slice(encodeWan(video, c, namedWeights, memory), 1, 0, c.latentChannels);
    const out = div(sub(means, statistic(table.mean)), statistic(table.std));
    return { out, check: mean(means), ...memory.kept };
  };
  const decodeGraph = (part: Part, h: number, w: number): Outputs => {
    const memory = wanMemory(part);
    const latents = input('latents', [1, c.latentChannels, 1, h, w]);
    const z = add(mul(latents, statistic(table.std)), statistic(table.mean));
    const x = decodeWan(z, c, namedWeights, memory);
    const last = transpose(reshape(x, x.shape.slice(1)), [1, 2, 3, 0]);
    return { out: cast(floor(add(mul(clamp(last, -1, 1), 127.5), 128)), 'u8'), check: mean(x), ...memory.kept };
  };
  const damaged = (): string | undefined =>
    damagedWeight(component, {
      latents: encodeGraph('next', space, space).out!,
      pixels: decodeGraph('next', 1, 1).out!,
    });

  /** Runs one group; states of the groups before are taken from and left in the engine. */
  const runPart = async (
    kind: string,
    part: Part,
    build: () => Outputs,
    feeds: Readonly<Record<string, NdArray>>,
  ): Promise<NdArray> => {
    const session = await sessions.get(`${kind} ${part}`, build);
    const nameOf = (past: string): string => `${prefix}.${past}`;
    const state: Record<string, string> = {};
    for (const { name, shape } of session.graph.inputs) {
      if (!name.startsWith('past.')) continue;
      state[name] = nameOf(name);
      // What the first frame leaves nothing for begins with zeros.
      if (!stateNames.has(nameOf(name))) {
        await runtime.setState(nameOf(name), f32(shape), { move: true });
        stateNames.add(nameOf(name));
      }
    }
    const keep = Object.fromEntries(
      session.graph.outputs
        .filter(({ name }) => name !== 'out' && name !== 'check')
        .map(({ name }) => [name, nameOf(wanPastOf(name))]),
    );
    const { out, check } = await session.run(feeds, { state, keep });
    // Bytes hide what is no number; the mean before the rounding does not.
    requireFinite(check!.data as Float32Array, 'the video autoencoder', damaged);
    for (const name of Object.values(keep)) stateNames.add(name);
    return out!;
  };
  const forget = async (): Promise<void> => {
    for (const name of stateNames) await runtime.dropState(name);
    stateNames.clear();
  };

  const dispose = async (): Promise<void> => {
    await forget();
    await sessions.dispose();
  };
  return {
    config: { kind: 'CV', temporalCompression: time, spatialCompression: space, latentChannels: c.latentChannels },
    isDiscrete: false,
    latentSize,
    async encode({ data, frames, height, width }) {
      const size = latentSize(frames, height, width);
      const each = height * width * 3;
      const area = size.h * size.w;
      const out = new Float32Array(c.latentChannels * size.t * area);
      await forget();
      for (let t = 0; t < size.t; t++) {
        const part: Part = t === 0 ? 'first' : 'next';
        const [from, count] = t === 0 ? [0, 1] : [1 + (t - 1) * time, time];
        const pixels: NdArray = {
          dtype: 'u8',
          shape: [count, height, width, 3],
          data: data.slice(from * each, (from + count) * each),
        };
        const group = await runPart(`encode ${height} ${width}`, part, () => encodeGraph(part, height, width), {
          pixels,
        });
        const values = group.data as Float32Array;
        for (let ch = 0; ch < c.latentChannels; ch++) {
          out.set(values.subarray(ch * area, (ch + 1) * area), (ch * size.t + t) * area);
        }
      }
      await forget();
      return { data: out, channels: c.latentChannels, ...size };
    },
    async decode({ data, t, h, w }) {
      const area = h * w;
      if (data.length !== c.latentChannels * t * area) {
        throw new OrreryError(
          'input',
          `latents: got ${data.length} values, need ${c.latentChannels * t * area} of shape [${[c.latentChannels, t, h, w]}]`,
        );
      }
      const [frames, height, width] = [1 + (t - 1) * time, h * space, w * space];
      const out = new Uint8Array(frames * height * width * 3);
      let at = 0;
      await forget();
      for (let i = 0; i < t; i++) {
        const part: Part = i === 0 ? 'first' : 'next';
        const latents = f32([1, c.latentChannels, 1, h, w]);
        for (let ch = 0; ch < c.latentChannels; ch++) {
          latents.data.set((data as Float32Array).subarray((ch * t + i) * area, (ch * t + i + 1) * area), ch * area);
        }
        const made = await runPart(`decode ${h} ${w}`, part, () => decodeGraph(part, h, w), { latents });
        out.set(made.data as Uint8Array, at);
        at += made.data.length;
      }
      await forget();
      const video: PixelFrames = { data: out, frames, height, width };
      return video;
    },
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}
