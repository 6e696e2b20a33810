// Scores of a world-model folder as it is shipped: its own sampler settings, one sample per held-out clip.
import { openNano, rollOut } from '../worlds/index.ts';
import type { Clips } from './clips.ts';
import { robotPredictors, scoreRobot } from './score-robot.ts';
import { scoreText, scoreWorld } from './score-world.ts';

/** Scores and pictures (truth, then prediction) of the first `count` held-out clips. */
export async function scoreModel(
  model: string,
  clips: Clips,
  count: number,
): Promise<{ scores: Record<string, number>; rows: Uint8Array[] }> {
  await using nano = await openNano(model);
  if (nano.config.actions !== undefined) {
    return await scoreRobot(clips, count, robotPredictors(nano, clips, nano.sampling));
  }
  const { sampling } = nano;
  const given = 9 * clips.height * clips.width * 3;
  const number = Math.min(count, clips.count);
  const { scores, rows } = await scoreWorld(clips, number, nano.tokenizer, (clip, caption, seed) =>
    rollOut(clip.subarray(0, given), clips.frames, nano, { sampling, caption, seed }),
  );
  const text = await scoreText(clips, number, (caption, seed, length) =>
    rollOut(new Uint8Array(0), length, nano, { sampling, caption, seed }),
  );
  return { scores: { ...scores, ...text.scores }, rows: [...rows, ...text.rows] };
}

/** Scores of an action-conditioned model folder beside the generalist that it was post-trained from. */
export async function scoreRobotModel(
  model: string,
  generalist: string,
  clips: Clips,
  count: number,
): Promise<{ scores: Record<string, number>; rows: Uint8Array[] }> {
  await using nano = await openNano(model);
  await using before = await openNano(generalist);
  const { untold } = robotPredictors(before, clips, before.sampling);
  return await scoreRobot(clips, count, { ...robotPredictors(nano, clips, nano.sampling), generalist: untold });
}
