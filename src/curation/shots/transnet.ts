// The public TransNetV2 weights as a shot detector: windows of 100 small pictures, the middle 50 answers of each kept.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type NdArray, OrreryError, toF32 } from '../../base/index.ts';
import { openTensors } from '../../formats/index.ts';
import { compile, input, type WeightSource } from '../../graph/index.ts';
import { colourHistogram, TRANSNET_BINS, TRANSNET_V2, type TransnetConfig, transnetV2 } from '../../nets/index.ts';
import { listWeights, namedWeights } from '../../nets/orrery/weights.ts';
import { openRuntime, type Session } from '../../runtime/index.ts';
import type { Transition } from './detector.ts';
import { TINY } from './features.ts';

/** Smallest probability of a frame in a transition, as published. */
export const TRANSNET_THRESHOLD = 0.4;
const WINDOW = 100;
const STEP = 50;
const MARGIN = 25;
const FILE = 'transnetv2-pytorch-weights.pth';

/** The weights' file that `path` names: a file of tensors, or a folder with the public file; undefined: something else. */
export function transnetFile(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  if (statSync(path).isDirectory()) return existsSync(join(path, FILE)) ? join(path, FILE) : undefined;
  return /\.(pth|pt|safetensors)$/.test(path) ? path : undefined;
}

/** An open detector. One video at a time goes through a stream. */
export type Transnet = {
  stream(threshold?: number): TransnetStream;
  dispose(): Promise<void>;
};

/** Small pictures in, transitions out, in order. */
export type TransnetStream = {
  /** Frames from this one on may still belong to a transition that is not told yet. */
  readonly undecidedFrom: number;
  push(rgb: Uint8Array): Promise<Transition[]>;
  end(): Promise<Transition[]>;
};

/** How the end of a video is treated: filled up with its last frame, as by the authors, or a shorter last window, as by the public pipeline. */
export type TransnetTail = 'fill' | 'short';

/** Loads the weights. @param tail default `fill` */
export async function openTransnet(
  path: string,
  options: { readonly threads?: number; readonly tail?: TransnetTail; readonly config?: TransnetConfig } = {},
): Promise<Transnet> {
  const { threads = 1, tail = 'fill', config = TRANSNET_V2 } = options;
  const weights = readWeights(path, config);
  const weightOf = (name: string): WeightSource => ({ kind: 'value', value: weights.get(name)! });
  const runtime = openRuntime({ threads });
  const sessions = new Map<number, Promise<Session>>();
  const sessionOf = (n: number): Promise<Session> => {
    let session = sessions.get(n);
    if (session === undefined) {
      const frames = input('frames', [1, n, TINY.height, TINY.width, 3]);
      const histograms = input('histograms', [1, n, TRANSNET_BINS]);
      const p = transnetV2(frames, histograms, config, namedWeights);
      session = runtime.load(compile({ p }, { weights: weightOf, name: 'transnet' }));
      sessions.set(n, session);
    }
    return session;
  };
  const probabilities = async (pictures: readonly Uint8Array[]): Promise<Float32Array> => {
    const n = pictures.length;
    const frames = new Float32Array(n * TINY.bytes);
    const histograms = new Float32Array(n * TRANSNET_BINS);
    pictures.forEach((rgb, i) => {
      frames.set(rgb, i * TINY.bytes);
      histograms.set(colourHistogram(rgb), i * TRANSNET_BINS);
    });
    const session = await sessionOf(n);
    const { p } = await session.run({
      frames: { dtype: 'f32', shape: [1, n, TINY.height, TINY.width, 3], data: frames },
      histograms: { dtype: 'f32', shape: [1, n, TRANSNET_BINS], data: histograms },
    });
    return p!.data as Float32Array;
  };

  return {
    stream(threshold = TRANSNET_THRESHOLD) {
      /** Pictures of the next window; the beginning is filled up with frame 0. */
      let held: Uint8Array[] = [];
      let count = 0;
      let done = 0;
      let open: { start: number; score: number } | undefined;
      const take = (answers: Float32Array, from: number, to: number): Transition[] => {
        const told: Transition[] = [];
        for (let i = from; i < to; i++) {
          const p = answers[i]!;
          const t = done++;
          if (p > threshold) {
            open = { start: open?.start ?? t, score: Math.max(open?.score ?? 0, p) };
          } else if (open !== undefined) {
            told.push(transitionOf(open.start, t - 1, open.score));
            open = undefined;
          }
        }
        return told;
      };
      return {
        get undecidedFrom() {
          return open?.start ?? done;
        },
        async push(rgb) {
          const copy = rgb.slice();
          if (count++ === 0) for (let i = 0; i < MARGIN; i++) held.push(copy);
          held.push(copy);
          if (held.length < WINDOW) return [];
          const answers = await probabilities(held);
          held = held.slice(STEP);
          return take(answers, MARGIN, MARGIN + STEP);
        },
        async end() {
          const told: Transition[] = [];
          while (done < count) {
            const pictures = tail === 'fill' ? filled(held) : held.slice(0, WINDOW);
            const answers = await probabilities(pictures);
            told.push(...take(answers, MARGIN, MARGIN + Math.min(STEP, count - done)));
            held = held.slice(STEP);
          }
          if (open !== undefined) told.push(transitionOf(open.start, count - 1, open.score));
          open = undefined;
          return told;
        },
      };
    },
    dispose: async () => {
      await runtime.dispose();
    },
  };
}

const filled = (held: readonly Uint8Array[]): Uint8Array[] =>
  Array.from({ length: WINDOW }, (_, i) => held[Math.min(i, held.length - 1)]!);

/** The network lights up the last frame of the old shot at a cut; ours is the first frame of the new one. */
function transitionOf(start: number, end: number, score: number): Transition {
  if (end - start <= 1) return { start: end + 1, end: end + 1, kind: 'cut', score };
  return { start, end, kind: 'gradual', score };
}

function readWeights(path: string, config: TransnetConfig): Map<string, NdArray> {
  const specs = listWeights((w) =>
    transnetV2(input('x', [1, 4, TINY.height, TINY.width, 3]), input('h', [1, 4, TRANSNET_BINS]), config, w),
  );
  using source = openTensors(path);
  const weights = new Map<string, NdArray>();
  for (const { key, shape } of specs) {
    const info = source.tensors.get(key);
    if (info === undefined || JSON.stringify(info.shape) !== JSON.stringify(shape))
      throw new OrreryError(
        'model',
        `${path}: ${info === undefined ? `no tensor ${key}` : `${key} is [${info.shape}]`}; need ${key} of [${shape}], as in ${FILE}`,
      );
    weights.set(key, { dtype: 'f32', shape, data: toF32(source.read(key)) });
  }
  return weights;
}
