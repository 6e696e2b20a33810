// The frame classifier with weights: SigLIP tower, unit length, safety head. Every frame up to a rate is looked at, in batches.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32, type GuardCategory, type GuardFrames, type NdArray, OrreryError } from '../../base/index.ts';
import { compile, input, type Tensor } from '../../graph/index.ts';
import {
  FRAME_CLASSES,
  namedWeights,
  resizeBicubic,
  type SiglipConfig,
  safetyHead,
  safetyHeadConfig,
  scoped,
  siglipConfig,
  siglipVision,
  unitLength,
} from '../../nets/index.ts';
import { openRuntime, type Session } from '../../runtime/index.ts';
import { readTensors, weightFiles } from '../weights.ts';

/** What a class of the public head means here. */
export const CLASS_CATEGORIES: readonly GuardCategory[] = ['-', 'O2', 'O1', 'O5', 'O7', 'O8', 'O6'];

export type ContentClassifier = {
  readonly version: string;
  /** Class of each frame. */
  classify(frames: GuardFrames, signal?: AbortSignal): Promise<number[]>;
  /** Unit-length embedding [C] of each frame. */
  embed(frames: GuardFrames, signal?: AbortSignal): Promise<Float32Array[]>;
  dispose(): Promise<void>;
};

const BATCH = 4;

/** Opens tower (folder in the public layout) and head (.safetensors or .pt; absent: embeddings only). */
export async function openContentClassifier(tower: string, head: string | undefined): Promise<ContentClassifier> {
  const config = siglipConfig(JSON.parse(readFileSync(join(tower, 'config.json'), 'utf8')) as Record<string, unknown>);
  const weights = new Map<string, NdArray>();
  for (const file of weightFiles(tower)) {
    for (const [key, value] of readTensors(file)) if (key.startsWith('vision_model.')) weights.set(key, value);
  }
  if (head !== undefined) for (const [key, value] of readTensors(head)) weights.set(`head.${key}`, value);
  const runtime = openRuntime();
  try {
    const session = await runtime.load(graphOf(config, weights, head !== undefined));
    const run = (frames: GuardFrames, name: 'logits' | 'embedding', signal?: AbortSignal): Promise<Float32Array[]> =>
      eachFrame(frames, config, session, name, signal);
    return {
      version: head === undefined ? 'tower' : `${FRAME_CLASSES.length} classes`,
      async classify(frames, signal) {
        if (head === undefined) throw new OrreryError('model', 'no classifier head is loaded');
        return (await run(frames, 'logits', signal)).map((row) => row.indexOf(Math.max(...row)));
      },
      embed: (frames, signal) => run(frames, 'embedding', signal),
      dispose: () => runtime.dispose(),
    };
  } catch (error) {
    await runtime.dispose();
    throw error;
  }
}

function graphOf(config: SiglipConfig, weights: ReadonlyMap<string, NdArray>, hasHead: boolean) {
  const x = input('pixels', [BATCH, 3, config.imageSize, config.imageSize]);
  const embedding = unitLength(siglipVision(x, config, scoped(namedWeights, 'vision_model')).pooled);
  const shapeOf = (key: string): readonly number[] => weights.get(`head.${key}`)?.shape ?? [];
  const outputs: Record<string, Tensor> = hasHead
    ? { embedding, logits: safetyHead(embedding, safetyHeadConfig(shapeOf), scoped(namedWeights, 'head')) }
    : { embedding };
  return compile(outputs, {
    name: 'frame-content',
    weights: (name) => {
      const value = weights.get(name);
      if (value === undefined) throw new OrreryError('model', `the frame classifier has no weight ${name}`);
      return { kind: 'value', value };
    },
  });
}

async function eachFrame(
  { shape: [t, h, w], data }: GuardFrames,
  { imageSize: s }: SiglipConfig,
  session: Session,
  name: 'logits' | 'embedding',
  signal: AbortSignal | undefined,
): Promise<Float32Array[]> {
  const results: Float32Array[] = [];
  for (let at = 0; at < t; at += BATCH) {
    const count = Math.min(BATCH, t - at);
    const pixels = new Float32Array(BATCH * 3 * s * s);
    for (let i = 0; i < count; i++) {
      const frame = data.subarray((at + i) * h * w * 3, (at + i + 1) * h * w * 3);
      const small = resizeBicubic(frame, { width: w, height: h }, { width: s, height: s });
      for (let k = 0; k < s * s; k++) {
        for (let c = 0; c < 3; c++) pixels[(i * 3 + c) * s * s + k] = (small[3 * k + c]! / 255 - 0.5) / 0.5;
      }
    }
    const out = await session.run({ pixels: f32([BATCH, 3, s, s], pixels) }, signal === undefined ? {} : { signal });
    const rows = out[name]!;
    const width = rows.shape[1]!;
    for (let i = 0; i < count; i++) {
      const row = (rows.data as Float32Array).slice(i * width, (i + 1) * width);
      if (row.some((v) => !Number.isFinite(v))) throw new OrreryError('model', 'the frame classifier gave NaN');
      results.push(row);
    }
  }
  return results;
}

/** Frames to look at: every n-th, so that no more than `maxFps` a second are looked at. */
export const strideOf = (fps: number, maxFps: number): number => Math.max(1, Math.ceil(fps / maxFps));

/** The classes that block: each was found in `count` of `of` neighbouring looked-at frames, by itself. In order of class. */
export function blockingClasses(classes: readonly number[], count: number, of: number): number[] {
  const found = new Set<number>();
  for (const [i, own] of classes.entries()) {
    if (own === 0 || found.has(own)) continue;
    if (classes.slice(i, i + of).filter((c) => c === own).length >= count) found.add(own);
  }
  return [...found].sort((a, b) => a - b);
}
