// Scores of a world-model folder as it is shipped: its own sampler settings, one sample per held-out clip.
import { decodeLatents, encodeClip, normalise, openNano, repeatLast, sampleLatents, toBytes } from '../worlds/index.ts';
import type { Clips } from './clips.ts';
import { scoreWorld } from './tasks/world.ts';

/** Scores and pictures (truth, then prediction) of the first `count` held-out clips. */
export async function scoreModel(
  model: string,
  clips: Clips,
  count: number,
): Promise<{ scores: Record<string, number>; rows: Uint8Array[] }> {
  await using nano = await openNano(model);
  const { config, stats, sampling } = nano;
  // Awaited here: the model is closed when this function ends.
  return await scoreWorld(clips, Math.min(count, clips.count), nano.tokenizer, async (clip, caption, seed) => {
    const base = normalise(await encodeClip(nano.tokenizer, repeatLast(clip, clips, 9)), stats);
    const run = nano.evaluate(base, 'nine', caption);
    const sample = {
      config,
      stats,
      condition: 'nine',
      base,
      run,
      seed,
      steps: sampling.steps,
      range: sampling,
    } as const;
    return toBytes(await decodeLatents(nano.tokenizer, await sampleLatents(sample)));
  });
}
