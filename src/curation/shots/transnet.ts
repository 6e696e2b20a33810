// The public TransNetV2 weights as a shot detector: windows of 100 small pictures, the middle 50 answers of each kept.
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { compile, input, type WeightSource } from '../../graph/index.ts';
import { colourHistogram, TRANSNET_BINS, TRANSNET_V2, transnetV2 } from '../../nets/index.ts';
import { listWeights, namedWeights } from '../../nets/orrery/weights.ts';
import { openRuntime } from '../../runtime/index.ts';
import { readWeights } from '../model-weights.ts';
import type { ShotDetector, Transition } from './detector.ts';
import { TINY } from './features.ts';

/** Smallest probability of a frame in a transition, as published. */
const TRANSNET_THRESHOLD = 0.4;
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

/** Loads the weights. */
export async function openTransnet(path: string): Promise<ShotDetector> {
  const specs = listWeights((w) =>
    transnetV2(input('x', [1, 4, TINY.height, TINY.width, 3]), input('h', [1, 4, TRANSNET_BINS]), TRANSNET_V2, w),
  );
  const weights = readWeights(path, specs);
  const weightOf = (name: string): WeightSource => ({ kind: 'value', value: weights.get(name)! });
  const runtime = openRuntime({ threads: 1 });
  const shape = [1, WINDOW, TINY.height, TINY.width, 3];
  const frames = input('frames', shape);
  const histograms = input('histograms', [1, WINDOW, TRANSNET_BINS]);
  const p = transnetV2(frames, histograms, TRANSNET_V2, namedWeights);
  const session = await runtime.load(compile({ p }, { weights: weightOf, name: 'transnet' }));
  const probabilities = async (pictures: readonly Uint8Array[]): Promise<Float32Array> => {
    const pixels = new Float32Array(WINDOW * TINY.bytes);
    const colours = new Float32Array(WINDOW * TRANSNET_BINS);
    pictures.forEach((rgb, i) => {
      pixels.set(rgb, i * TINY.bytes);
      colours.set(colourHistogram(rgb), i * TRANSNET_BINS);
    });
    const answers = await session.run({
      frames: { dtype: 'f32', shape, data: pixels },
      histograms: { dtype: 'f32', shape: [1, WINDOW, TRANSNET_BINS], data: colours },
    });
    return answers.p!.data as Float32Array;
  };

  return {
    delay: WINDOW + MARGIN,
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
            const answers = await probabilities(filled(held));
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

/** The end of a video is filled up with its last frame, as by the authors. */
const filled = (held: readonly Uint8Array[]): Uint8Array[] =>
  Array.from({ length: WINDOW }, (_, i) => held[Math.min(i, held.length - 1)]!);

/** The network lights up the last frame of the old shot at a cut; ours is the first frame of the new one. */
function transitionOf(start: number, end: number, score: number): Transition {
  if (end - start <= 1) return { start: end + 1, end: end + 1, kind: 'cut', score };
  return { start, end, kind: 'gradual', score };
}
