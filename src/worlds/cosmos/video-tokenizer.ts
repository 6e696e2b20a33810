// The Cosmos tokenizers on frames of bytes: encode, decode, code indices, chunks. One run per chunk, so memory does not grow
// with the length of a video.
import { f32, InputError, type NdArray, OrreryError, sizeOf } from '../../base/index.ts';
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
  sub,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import {
  type CosmosTokenizerConfig,
  decodeImage,
  decodeVideo,
  encodeImage,
  encodeVideo,
  fsqCodes,
  fsqCodesOf,
  fsqIndices,
  namedWeights,
} from '../../nets/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { Component, LatentTable } from './component.ts';
import { tokenizerNetworks } from './networks.ts';
import { damagedWeight, requireFinite } from './require-finite.ts';
import { openSessions } from './sessions.ts';

/** Bytes of frames, row by row: uint8 [T, H, W, 3]. */
export type PixelFrames = {
  readonly data: Uint8Array;
  readonly frames: number;
  readonly height: number;
  readonly width: number;
};

/** Continuous latents [C, t, h, w] or, for discrete tokenizers, code numbers [t, h, w]. */
export type Latents = {
  readonly data: Float32Array | Int32Array;
  readonly channels: number;
  readonly t: number;
  readonly h: number;
  readonly w: number;
};

export type VideoTokenizer = {
  readonly config: Pick<
    CosmosTokenizerConfig,
    'kind' | 'temporalCompression' | 'spatialCompression' | 'latentChannels' | 'levels'
  >;
  readonly isDiscrete: boolean;
  /** Latent size of a chunk; throws when the size does not fit. */
  latentSize(frames: number, height: number, width: number): { t: number; h: number; w: number };
  /** One chunk → latents, normalised where the tokenizer has statistics. */
  encode(chunk: PixelFrames): Promise<Latents>;
  /** Latents of one chunk → frames. */
  decode(latents: Latents): Promise<PixelFrames>;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

export type VideoTokenizerOptions = {
  readonly runtime: Runtime;
  readonly component: Component<CosmosTokenizerConfig>;
  /** Statistics per channel and latent frame; absent: latents are not normalised. */
  readonly latents?: LatentTable;
  /** Pixel value v becomes v/pixelScale − 1. Default 127.5; the Predict1 scripts prepare conditions with 128. */
  readonly pixelScale?: number;
};

/** Opens a tokenizer; graphs are compiled at first use, by size. */
export function openVideoTokenizer(options: VideoTokenizerOptions): VideoTokenizer {
  const { runtime, component, latents: table, pixelScale = 127.5 } = options;
  const c = component.config;
  const isDiscrete = c.levels !== undefined;
  const isVideo = c.kind === 'CV' || c.kind === 'DV';
  const sessions = openSessions(runtime, component, 'tokenizer');

  const latentSize = (frames: number, height: number, width: number): { t: number; h: number; w: number } => {
    const t = isVideo ? 1 + (frames - 1) / c.temporalCompression : frames;
    const [h, w] = [height / c.spatialCompression, width / c.spatialCompression];
    if (![t, h, w].every((n) => Number.isInteger(n) && n >= 1)) {
      throw new InputError('video size', {
        got: `${frames} frames of ${width}x${height}`,
        need: `${isVideo ? `1 + ${c.temporalCompression}k frames, ` : ''}sides that are multiples of ${c.spatialCompression}`,
      });
    }
    return { t, h, w };
  };

  const encodeGraph = (frames: number, height: number, width: number) => {
    const pixels = input('pixels', [frames, height, width, 3], 'u8');
    const values = sub(mul(cast(pixels, 'f32'), 1 / pixelScale), 1);
    // An image tokenizer takes the frames as a batch.
    const z = isVideo
      ? encodeVideo(reshape(transpose(values, [3, 0, 1, 2]), [1, 3, frames, height, width]), c, namedWeights)
      : encodeImage(transpose(values, [0, 3, 1, 2]), c, namedWeights);
    const out = c.levels === undefined ? normalised(z, table) : fsqIndices(fsqCodes(z, c.levels), c.levels);
    return { latents: out, check: mean(z) };
  };

  const decodeGraph = (t: number, h: number, w: number) => {
    const channels = c.latentChannels;
    const shape = isVideo ? [1, channels, t, h, w] : [t, channels, h, w];
    const z =
      c.levels === undefined
        ? denormalised(input('latents', shape), table)
        : fsqCodesOf(input('latents', isVideo ? [1, t, h, w] : [t, h, w], 'i32'), c.levels);
    const x = isVideo ? decodeVideo(z, c, namedWeights) : decodeImage(z, c, namedWeights);
    const last = isVideo ? transpose(reshape(x, x.shape.slice(1)), [1, 2, 3, 0]) : transpose(x, [0, 2, 3, 1]);
    const bytes = cast(floor(add(mul(clamp(last, -1, 1), 127.5), 128)), 'u8');
    return { pixels: bytes, check: mean(x) };
  };

  // Codes and bytes hide what is no number; the mean before the rounding does not.
  const sane = ({ data }: NdArray): void =>
    requireFinite(data as Float32Array, 'the tokenizer', () => {
      const { encode, decode } = tokenizerNetworks(c);
      return damagedWeight(component, { ...encode, ...decode });
    });

  return {
    config: c,
    isDiscrete,
    latentSize,
    async encode({ data, frames, height, width }) {
      const size = latentSize(frames, height, width);
      const session = await sessions.get(`encode ${frames} ${height} ${width}`, () =>
        encodeGraph(frames, height, width),
      );
      const pixels: NdArray = { dtype: 'u8', shape: [frames, height, width, 3], data };
      const { latents, check } = await session.run({ pixels });
      sane(check!);
      return { data: latents!.data as Float32Array | Int32Array, channels: isDiscrete ? 1 : c.latentChannels, ...size };
    },
    async decode({ data, t, h, w }) {
      const session = await sessions.get(`decode ${t} ${h} ${w}`, () => decodeGraph(t, h, w));
      const { shape, dtype } = session.graph.inputs[0]!;
      if (data.length !== sizeOf(shape)) {
        throw new OrreryError('input', `latents: got ${data.length} values, need ${sizeOf(shape)} of shape [${shape}]`);
      }
      const { pixels, check } = await session.run({ latents: { dtype, shape, data } });
      sane(check!);
      const [frames, height, width] = pixels!.shape as [number, number, number, number];
      return { data: pixels!.data as Uint8Array, frames, height, width };
    },
    dispose: sessions.dispose,
    [Symbol.asyncDispose]: sessions.dispose,
  };
}

/** The first t columns of a table as a constant [1, C, t, 1, 1]. */
function columns(values: readonly number[], table: LatentTable, shape: readonly number[]): Tensor {
  const [, channels, t] = shape as [number, number, number];
  if (channels !== table.channels || t > table.frames) {
    throw new InputError('latents', {
      got: `${channels} channels, ${t} latent frames`,
      need: `${table.channels} channels and at most ${table.frames} frames, which the statistics cover`,
    });
  }
  const data = Float32Array.from(
    { length: channels * t },
    (_, i) => values[Math.floor(i / t) * table.frames + (i % t)]!,
  );
  return constantF32([1, channels, t, 1, 1], data);
}

function normalised(z: Tensor, table: LatentTable | undefined): Tensor {
  if (table === undefined || z.shape.length !== 5) return z;
  return div(sub(z, columns(table.mean, table, z.shape)), columns(table.std, table, z.shape));
}

function denormalised(z: Tensor, table: LatentTable | undefined): Tensor {
  if (table === undefined || z.shape.length !== 5) return z;
  return add(mul(z, columns(table.std, table, z.shape)), columns(table.mean, table, z.shape));
}

/** Latents as an array with shape, as files store them. */
export function latentArray({ data, channels, t, h, w }: Latents): NdArray {
  return data instanceof Int32Array ? { dtype: 'i32', shape: [t, h, w], data } : f32([channels, t, h, w], data);
}

/** The last frames of a clip. */
export function lastFrames({ data, frames, height, width }: PixelFrames, count: number): PixelFrames {
  const each = height * width * 3;
  return { data: data.slice((frames - count) * each), frames: count, height, width };
}

/** A clip of `frames` frames: the given ones first, then `fill`: a byte value, or the last frame held. */
export function extended(clip: PixelFrames, frames: number, fill: number | 'hold'): PixelFrames {
  const { height, width } = clip;
  const each = height * width * 3;
  const data = new Uint8Array(frames * each);
  data.set(clip.data.subarray(0, Math.min(frames, clip.frames) * each));
  const last = clip.data.subarray((clip.frames - 1) * each, clip.frames * each);
  for (let f = clip.frames; f < frames; f++) {
    if (fill === 'hold') data.set(last, f * each);
    else data.fill(fill, f * each, (f + 1) * each);
  }
  return { data, frames, height, width };
}

/** Latents of the first frames of a clip among zeros: [C, T, h, w] from [C, t, h, w] with t ≤ T. */
export function spread({ data, channels, t, h, w }: Latents, size: { readonly t: number }): Float32Array {
  const area = h * w;
  const out = new Float32Array(channels * size.t * area);
  const kept = Math.min(t, size.t) * area;
  for (let ch = 0; ch < channels; ch++) {
    out.set((data as Float32Array).subarray(ch * t * area, ch * t * area + kept), ch * size.t * area);
  }
  return out;
}
