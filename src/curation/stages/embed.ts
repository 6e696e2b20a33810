// Clip embeddings without a download: the encoder of orrery-tokenizer over nine small pictures, pooled, beside colour layout
// and motion statistics. Good for near-duplicates and for "looks alike"; it knows no objects and says so in its name.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile, input } from '../../graph/index.ts';
import { encode, type OrreryTokenizerConfig } from '../../nets/orrery/tokenizer.ts';
import { namedWeights } from '../../nets/orrery/weights.ts';
import { openRuntime } from '../../runtime/index.ts';
import { weightsOf } from '../../worlds/index.ts';
import type { ClipWork, Work } from '../clip-work.ts';
import type { Stage } from '../engine/stage.ts';
import type { Samples } from '../pass/measure.ts';
import { readSamples } from '../pass/samples.ts';
import { clipStage } from './clip-stage.ts';

/** Name of the embedding, in folders and tables. */
export const EMBEDDING = 'orrery';
/** Length of the embedding. */
export const EMBEDDING_SIZE = 216;

/** Its first numbers, which say how a clip looks; the rest is motion. */
export const LOOK_SIZE = 208;

const SIDE = 64;
const FRAMES = 9;

/** Folder of the shipped tokenizer. */
export const TOKENIZER: string = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? '../../../models/orrery-tokenizer' : '../../../../models/orrery-tokenizer',
    import.meta.url,
  ),
);

/** The stage. Clips that were taken out get no embedding. */
export function embedStage(out: string): Stage<Work, Work> {
  return clipStage({ name: 'embed', batch: 4, cores: 1, maxWorkers: 2 }, async () => {
    const embedder = await openEmbedder();
    return {
      one: async (clip) => {
        if (clip.rejected !== undefined) return clip;
        const embedding = await embedder.embed(readSamples(join(out, clip.samples)), clip.motion);
        return { ...clip, embedding };
      },
      dispose: () => embedder.dispose(),
    };
  });
}

/** An open embedder. */
export type Embedder = {
  /** Unit vector of `EMBEDDING_SIZE` numbers. */
  embed(samples: Samples, motion: ClipWork['motion']): Promise<number[]>;
  dispose(): Promise<void>;
};

/** Opens the tokenizer's encoder. */
export async function openEmbedder(): Promise<Embedder> {
  const runtime = openRuntime({ threads: 1 });
  const { config } = JSON.parse(readFileSync(join(TOKENIZER, 'model.json'), 'utf8')) as {
    config: OrreryTokenizerConfig;
  };
  const shape = [1, FRAMES, SIDE, SIDE, 3] as const;
  const graph = compile(
    { latents: encode(input('frames', shape, 'u8'), config, namedWeights) },
    { weights: weightsOf(TOKENIZER), name: 'encoder' },
  );
  const session = await runtime.load(graph, { folder: TOKENIZER });
  const channels = config.channels;
  return {
    async embed(samples, motion) {
      const frames = new Uint8Array(FRAMES * SIDE * SIDE * 3);
      for (let i = 0; i < FRAMES; i++) {
        const at = Math.round((i * (samples.frames.length - 1)) / (FRAMES - 1));
        shrink(samples.frames[at]!, samples.width, samples.height, frames.subarray(i * SIDE * SIDE * 3));
      }
      const { latents } = await session.run({ frames: { dtype: 'u8', shape, data: frames } });
      const look = pool(latents!.data as Float32Array, channels, SIDE / config.patch);
      const colour = colourLayout(frames);
      const moves = motionNumbers(motion);
      // Each group has its own unit length, so that none drowns the others.
      return unit([...scaled(look, 1), ...scaled(colour.layout, 0.8), ...scaled(colour.histogram, 0.8), ...moves]);
    },
    dispose: async () => {
      await runtime[Symbol.asyncDispose]();
    },
  };
}

/** Mean of the source pixels under each of SIDE x SIDE cells. */
function shrink(rgb: Uint8Array, width: number, height: number, out: Uint8Array): void {
  for (let y = 0; y < SIDE; y++) {
    const [y0, y1] = [
      Math.floor((y * height) / SIDE),
      Math.max(Math.floor((y * height) / SIDE) + 1, Math.floor(((y + 1) * height) / SIDE)),
    ];
    for (let x = 0; x < SIDE; x++) {
      const [x0, x1] = [
        Math.floor((x * width) / SIDE),
        Math.max(Math.floor((x * width) / SIDE) + 1, Math.floor(((x + 1) * width) / SIDE)),
      ];
      let [r, g, b] = [0, 0, 0];
      for (let j = y0; j < y1; j++)
        for (let i = x0; i < x1; i++) {
          const p = (j * width + i) * 3;
          r += rgb[p]!;
          g += rgb[p + 1]!;
          b += rgb[p + 2]!;
        }
      const n = (x1 - x0) * (y1 - y0);
      const p = (y * SIDE + x) * 3;
      out[p] = r / n;
      out[p + 1] = g / n;
      out[p + 2] = b / n;
    }
  }
}

/** Latents [t, g, g, C] → means of the four quarters [4·C], deviations [C], changes over time [C]. */
function pool(z: Float32Array, c: number, g: number): number[] {
  const cells = z.length / c;
  const quarters = new Float64Array(4 * c);
  const squares = new Float64Array(c);
  const means = new Float64Array(c);
  const changes = new Float64Array(c);
  const perFrame = g * g;
  for (let i = 0; i < cells; i++) {
    const [x, y] = [i % g, Math.floor(i / g) % g];
    const quarter = (y < g / 2 ? 0 : 2) + (x < g / 2 ? 0 : 1);
    for (let k = 0; k < c; k++) {
      const v = z[i * c + k]!;
      quarters[quarter * c + k]! += (4 * v) / cells;
      means[k]! += v / cells;
      squares[k]! += (v * v) / cells;
      if (i >= perFrame) changes[k]! += Math.abs(v - z[(i - perFrame) * c + k]!) / cells;
    }
  }
  const deviations = [...squares].map((s, k) => Math.sqrt(Math.max(0, s - means[k]! ** 2)));
  return [...quarters, ...deviations, ...changes];
}

/** Mean colours of 4x4 fields [48], and a histogram of 4x4x4 colours as square roots [64], over all frames. */
function colourLayout(frames: Uint8Array): { layout: number[]; histogram: number[] } {
  const layout = new Float64Array(48);
  const histogram = new Float64Array(64);
  const pixels = frames.length / 3;
  for (let i = 0; i < pixels; i++) {
    const [x, y] = [i % SIDE, Math.floor(i / SIDE) % SIDE];
    const field = (y >> 4) * 4 + (x >> 4);
    const [r, g, b] = [frames[i * 3]!, frames[i * 3 + 1]!, frames[i * 3 + 2]!];
    layout[field * 3]! += r;
    layout[field * 3 + 1]! += g;
    layout[field * 3 + 2]! += b;
    histogram[((r >> 6) << 4) | ((g >> 6) << 2) | (b >> 6)]!++;
  }
  const mean = layout.reduce((a, b) => a + b, 0) / 48;
  return { layout: [...layout].map((v) => v - mean), histogram: [...histogram].map((v) => Math.sqrt(v / pixels)) };
}

function motionNumbers(motion: ClipWork['motion']): number[] {
  if (motion === undefined) return new Array<number>(8).fill(0);
  const { camera, globalMean, movingShare, movingRegions } = motion;
  const log = (v: number): number => (Math.sign(v) * Math.log1p(Math.abs(v) * 1000)) / 20;
  return [
    log(globalMean),
    log(camera.x),
    log(camera.y),
    log(camera.zoom),
    log(camera.jitter),
    movingShare / 4,
    Math.min(1, movingRegions / 10) / 4,
    0,
  ];
}

function scaled(values: readonly number[], length: number): number[] {
  const norm = Math.sqrt(values.reduce((a, v) => a + v * v, 0)) || 1;
  return values.map((v) => (v * length) / norm);
}

function unit(values: readonly number[]): number[] {
  return scaled(values, 1).map((v) => Number(v.toPrecision(6)));
}
