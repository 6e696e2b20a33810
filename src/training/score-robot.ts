// Scores of an action-conditioned model on held-out robot clips: where the objects are 8, 16 and 24 frames after the given ones, beside
// predictions that are not told the actions.
import { OrreryError } from '../base/index.ts';
import { constantVelocity } from '../motion/index.ts';
import { type Actions, repeatLast, rollOut, type Sampling, type WindowModel } from '../worlds/index.ts';
import type { Clips } from './clips.ts';
import { actionsOf } from './tasks/world-actions.ts';
import { motionIoU, paletteOf, psnr, scoreObjects } from './world-scores.ts';

/** Given frames. */
const GIVEN = 9;
/** Frames after the given ones at which objects are looked for. */
const AFTER = [8, 16, 24] as const;
/** Farthest error that counts, in diameters: an object that is gone counts as this far away. */
const FARTHEST = 2;

/** Makes the clips' frames from the first nine: uint8 [T, H, W, 3]. */
export type RobotPredictor = (clip: Uint8Array, index: number) => Promise<Uint8Array>;

/** The model told all actions, and told none. */
export function robotPredictors(
  parts: WindowModel,
  clips: Clips,
  sampling: Sampling,
): { readonly told: RobotPredictor; readonly untold: RobotPredictor } {
  const given = GIVEN * clips.height * clips.width * 3;
  const predict =
    (actions: (index: number) => Actions): RobotPredictor =>
    (clip, index) =>
      rollOut(clip.subarray(0, given), clips.frames, parts, {
        caption: clips.meta[index]!.caption,
        seed: index,
        sampling,
        actions: actions(index),
      });
  return { told: predict((i) => actionsOf(clips, i)), untold: predict(() => []) };
}

type Sums = Record<string, number>;

/**
 * Scores of both predictors over the first `count` clips, with pictures of the first ones: truth, told, untold.
 * Errors are distances of an object's colour from its true place in diameters, at most 2. Names: `error16` told, `untoldError16` not told,
 * `heldError16` the last given frame repeated, `goingError16` constant velocity, `truthError16` the measure on the true frames;
 * `moved…` only objects that are more than a third of a diameter from where they were.
 */
export async function scoreRobot(
  clips: Clips,
  count: number,
  predictors: Readonly<Record<string, RobotPredictor>> & { readonly told: RobotPredictor },
): Promise<{ scores: { score: number } & Record<string, number>; rows: Uint8Array[] }> {
  const { frames, height, width } = clips;
  const number = Math.min(count, clips.count);
  const each = height * width * 3;
  const sums: Record<string, Sums> = {};
  const rows: Uint8Array[] = [];
  for (let i = 0; i < number; i++) {
    const truth = clips.clipView(i);
    const given = { dtype: 'u8', shape: [GIVEN, height, width, 3], data: truth.slice(0, GIVEN * each) } as const;
    const made: [string, Uint8Array][] = [];
    for (const [name, predict] of Object.entries(predictors)) made.push([name, await predict(truth, i)]);
    if (i < 4) rows.push(truth, ...made.map(([, video]) => video));
    made.push(['held', repeatLast(truth, clips, GIVEN)]);
    made.push(['going', (await constantVelocity(given, GIVEN, frames)).data]);
    made.push(['truth', truth]);
    for (const [name, video] of made) addScores((sums[name] ??= {}), clips, i, video);
  }
  const scores: Record<string, number> = { clips: number };
  for (const [name, s] of Object.entries(sums)) {
    const key = (text: string): string => (name === 'told' ? text : name + text[0]!.toUpperCase() + text.slice(1));
    scores[key('psnr16')] = s.psnr16! / number;
    scores[key('motionIoU16')] = (s.both ?? 0) / Math.max(1, s.any ?? 0);
    for (const after of AFTER) {
      // Without an object there is no error, least of all a perfect one.
      const [seen, moved] = [s[`seen${after}`], s[`moved${after}`]];
      if (seen !== undefined) scores[key(`error${after}`)] = s[`error${after}`]! / seen;
      if (moved !== undefined) scores[key(`movedError${after}`)] = s[`movedError${after}`]! / moved;
    }
    if (name === 'truth') {
      for (const after of AFTER) {
        scores[`objects${after}`] = s[`seen${after}`] ?? 0;
        scores[`movedObjects${after}`] = s[`moved${after}`] ?? 0;
      }
    }
  }
  if (scores.movedError16 === undefined) {
    throw new OrreryError(
      'data',
      `no object of the first ${number} held-out clips moves in the 16 frames after the given ones; score more clips, or write them with instance maps`,
    );
  }
  // Half of the places of moved objects, half of the whole picture.
  const score = 10 * (1 - scores.movedError16 / FARTHEST) + scores.psnr16! / 3;
  return { scores: { score, ...scores }, rows };
}

function addScores(s: Sums, clips: Clips, i: number, got: Uint8Array): void {
  const tally = (key: string, value: number): void => void (s[key] = (s[key] ?? 0) + value);
  const truth = clips.clipView(i);
  tally('psnr16', psnr(truth, got, clips, GIVEN, GIVEN + 16));
  const overlap = motionIoU(truth, got, clips, GIVEN, GIVEN + 16);
  tally('both', overlap.both);
  tally('any', overlap.any);
  const instance = clips.instanceView(i);
  if (instance === undefined) return;
  const ids = (clips.meta[i]!.objects ?? []).filter((body) => body.dynamic).map((body) => body.id);
  const palette = paletteOf(truth, instance, clips, ids, GIVEN);
  for (const after of AFTER) {
    for (const o of scoreObjects(got, instance, palette, clips, ids, GIVEN - 1 + after, GIVEN)) {
      const error = Math.min(FARTHEST, o.offset);
      tally(`error${after}`, error);
      tally(`seen${after}`, 1);
      if (o.moved < 1 / 3) continue;
      tally(`movedError${after}`, error);
      tally(`moved${after}`, 1);
    }
  }
}
