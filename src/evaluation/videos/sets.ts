// Distances between sets of clips in the latent space of orrery-tokenizer, under names of our own: these are not FID or FVD.
import { OrreryError } from '../../base/index.ts';
import { openModelFolder } from '../../hub/index.ts';
import type { Frames } from '../../media/index.ts';
import { openRuntime } from '../../runtime/index.ts';
import { encodeClip, loadTokenizer } from '../../worlds/index.ts';
import { type Features, frechetDistance, polynomialMmd } from '../metrics/frechet.ts';
import type { Results } from '../report/table.ts';
import { resizeClip } from './pairs.ts';

/** Names of `--metrics` that compare whole sets. */
export const SET_METRICS: Readonly<Record<string, string>> = {
  'orrery-fd': 'Fréchet distance and MMD of orrery-tokenizer latents (mean and deviation of each channel per clip)',
};

/** The clip that features are taken from: the middle square of its first frames. */
const SIDE = 128;
const FRAMES = 17;

type Fact = NonNullable<Results['facts']>[number];

/** Fréchet distance and unbiased MMD between generated and reference clips. Needs two clips. */
export async function latentDistance(
  pairs: readonly (() => Promise<{ readonly generated: Frames; readonly reference: Frames }>)[],
  options: { readonly threads?: number },
): Promise<Fact[]> {
  if (pairs.length < 2) {
    throw new OrreryError(
      'input',
      `orrery-fd: got ${pairs.length} clip, need at least 2: a covariance needs two samples (published figures use 1000)`,
    );
  }
  const { dir } = openModelFolder('orrery-tokenizer');
  await using runtime = openRuntime(options.threads === undefined ? {} : { threads: options.threads });
  const tokenizer = await loadTokenizer(runtime, dir, { frames: FRAMES, height: SIDE, width: SIDE });
  const rows: Record<'generated' | 'reference', number[][]> = { generated: [], reference: [] };
  for (const load of pairs) {
    const pair = await load();
    for (const side of ['generated', 'reference'] as const) {
      rows[side].push(momentsOf(await encodeClip(tokenizer, standard(pair[side])), tokenizer.config.channels));
    }
  }
  const features = (list: readonly number[][]): Features => ({
    rows: list.length,
    columns: list[0]!.length,
    data: list.flat(),
  });
  const a = features(rows.generated);
  const b = features(rows.reference);
  const note = `${pairs.length} clips a side; our own features, not FID or FVD; depends on the number of clips`;
  return [
    { name: 'Fréchet distance, orrery-tokenizer latents', value: frechetDistance(a, b).distance, note },
    { name: 'MMD (cubic, unbiased), orrery-tokenizer latents', value: polynomialMmd(a, b), note },
  ];
}

/** Mean and deviation of each channel over all cells. */
function momentsOf(latents: Float32Array, channels: number): number[] {
  const n = latents.length / channels;
  const mean = new Array<number>(channels).fill(0);
  const square = new Array<number>(channels).fill(0);
  for (let i = 0; i < latents.length; i++) {
    mean[i % channels]! += latents[i]! / n;
    square[i % channels]! += latents[i]! ** 2 / n;
  }
  return [...mean, ...square.map((s, c) => Math.sqrt(Math.max(0, s - mean[c]! ** 2)))];
}

/** Shorter side to 128, middle square, first 17 frames, the last one held in shorter clips. */
function standard(clip: Frames): Uint8Array {
  const [count, h, w] = clip.shape;
  const scale = SIDE / Math.min(h, w);
  const height = Math.round(h * scale);
  const width = Math.round(w * scale);
  const small = height === h && width === w ? clip : resizeClip(clip, height, width);
  const top = Math.floor((height - SIDE) / 2);
  const left = Math.floor((width - SIDE) / 2);
  const out = new Uint8Array(FRAMES * SIDE * SIDE * 3);
  for (let t = 0; t < FRAMES; t++) {
    const from = Math.min(t, count - 1);
    for (let y = 0; y < SIDE; y++) {
      const at = ((from * height + y + top) * width + left) * 3;
      out.set(small.data.subarray(at, at + SIDE * 3), (t * SIDE + y) * SIDE * 3);
    }
  }
  return out;
}
