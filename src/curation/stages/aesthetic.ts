// Aesthetic scores from the user's public weights: CLIP ViT-L/14 and the linear head on its features. One picture per second;
// a clip counts as its worst picture, as published.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { OrreryError } from '../../base/index.ts';
import { compile, input } from '../../graph/index.ts';
import { aestheticHead, CLIP_MEAN, CLIP_STD, CLIP_VIT_L14, clipVision, resizeBicubic } from '../../nets/index.ts';
import { listWeights, namedWeights } from '../../nets/orrery/weights.ts';
import { openRuntime } from '../../runtime/index.ts';
import type { Work } from '../clip-work.ts';
import type { Stage } from '../engine/stage.ts';
import { readWeights } from '../model-weights.ts';
import type { CurateOptions } from '../options.ts';
import type { Samples } from '../pass/measure.ts';
import { readSamples } from '../pass/samples.ts';
import { clipStage } from './clip-stage.ts';

/** The stage; clips below `minAesthetic` are taken out. */
export function aestheticStage(out: string, o: CurateOptions): Stage<Work, Work> {
  return clipStage({ name: 'aesthetic', cores: 1, maxWorkers: 1 }, async () => {
    const scorer = await openAesthetic({ clip: o.clipModel!, head: o.aestheticModel! });
    return {
      one: async (clip) => {
        if (clip.rejected !== undefined) return clip;
        const score = await scorer.score(readSamples(join(out, clip.samples)));
        const scored = { ...clip, aesthetic: score };
        if (score >= o.minAesthetic) return scored;
        const reason = `aesthetic score ${score.toFixed(2)} below ${o.minAesthetic}`;
        return { ...scored, rejected: { by: 'aesthetic', reason } };
      },
      dispose: () => scorer.dispose(),
    };
  });
}

/** An open scorer. */
type Aesthetic = {
  /** Score of the worst picture of a clip, about 1…10; −1 without pictures. */
  score(samples: Samples): Promise<number>;
  dispose(): Promise<void>;
};

/** Loads the tower and the head. Each is a file of tensors, or a folder with one. */
async function openAesthetic(paths: { readonly clip: string; readonly head: string }): Promise<Aesthetic> {
  const config = CLIP_VIT_L14;
  const side = config.imageSize;
  const pixels = input('pixels', [1, 3, side, side]);
  const tower = listWeights((w) => clipVision(pixels, config, w));
  const head = listWeights((w) => aestheticHead(input('f', [1, config.features]), w));
  const weights = new Map([
    ...readWeights(tensorFile(paths.clip), tower),
    ...readWeights(tensorFile(paths.head), head),
  ]);
  const runtime = openRuntime({ threads: 1 });
  const score = aestheticHead(clipVision(pixels, config, namedWeights), namedWeights);
  const graph = compile(
    { score },
    { weights: (name) => ({ kind: 'value', value: weights.get(name)! }), name: 'aesthetic' },
  );
  const session = await runtime.load(graph);
  weights.clear();
  return {
    async score(samples) {
      let worst = Number.POSITIVE_INFINITY;
      let last = Number.NEGATIVE_INFINITY;
      for (const [i, frame] of samples.frames.entries()) {
        const time = samples.times[i]!;
        if (time - last < 0.99) continue;
        last = time;
        const data = clipPixels(frame, samples, side);
        const { score: found } = await session.run({ pixels: { dtype: 'f32', shape: [1, 3, side, side], data } });
        worst = Math.min(worst, (found!.data as Float32Array)[0]!);
      }
      return Number.isFinite(worst) ? worst : -1;
    },
    dispose: async () => {
      await runtime.dispose();
    },
  };
}

/** Short side to `side` (bicubic, antialiased), the middle square, normalised, channels first. */
function clipPixels(
  rgb: Uint8Array,
  size: { readonly width: number; readonly height: number },
  side: number,
): Float32Array {
  const scale = side / Math.min(size.width, size.height);
  const to = {
    width: Math.max(side, Math.round(size.width * scale)),
    height: Math.max(side, Math.round(size.height * scale)),
  };
  const resized = resizeBicubic(rgb, size, to);
  const [x0, y0] = [Math.round((to.width - side) / 2), Math.round((to.height - side) / 2)];
  const out = new Float32Array(3 * side * side);
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      for (let c = 0; c < 3; c++) {
        const v = resized[((y + y0) * to.width + x + x0) * 3 + c]! / 255;
        out[(c * side + y) * side + x] = (v - CLIP_MEAN[c]!) / CLIP_STD[c]!;
      }
  return out;
}

/** The file that holds tensors in a folder; a file is itself. */
function tensorFile(path: string): string {
  if (!existsSync(path))
    throw new OrreryError('model', `${path}: no such file; need public weights in a file or folder`);
  if (!statSync(path).isDirectory()) return path;
  const names = readdirSync(path);
  const found =
    names.find((n) => n.endsWith('.safetensors.index.json')) ??
    ['model.safetensors', 'pytorch_model.bin'].find((n) => names.includes(n)) ??
    names.find((n) => /\.(safetensors|pth|pt|bin)$/.test(n));
  if (found === undefined)
    throw new OrreryError('model', `${path}: holds no weights; need model.safetensors or pytorch_model.bin`);
  return join(path, found);
}
