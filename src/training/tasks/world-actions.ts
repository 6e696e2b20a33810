// The actions of a training batch: those of the cached windows, mirrored where the window is, some of them left out.
import { f32, type NdArray, OrreryError, randomStream } from '../../base/index.ts';
import type { OrreryNanoConfig } from '../../nets/orrery/nano.ts';
import { type Actions, actionFeed, actionShape, mirroredAction } from '../../worlds/index.ts';
import type { Clips } from '../clips.ts';
import { isMirrored, STRIDE } from '../latents.ts';
import type { WorldRecipe } from '../recipe.ts';

/** Frames of a call's actions from the robot's record: those that lead from frame `first` on. */
export function actionsOf(clips: Clips, clip: number, first = 0): readonly (readonly number[])[] {
  const meta = clips.meta[clip]!;
  if (meta.robot === undefined) {
    throw new OrreryError(
      'data',
      `clip ${meta.id} has no actions; a model with actions needs a data set of robot scenes, such as recipes/robot-push.json`,
    );
  }
  return meta.robot.actions.slice(first);
}

/** Fills the actions of a batch sample by sample; undefined for models without actions. */
export function actionBatch(
  recipe: WorldRecipe,
  clips: Clips,
  config: OrreryNanoConfig,
  step: number,
):
  | { add(sample: number, window: number, knownFrames: number | undefined, perClip: number): void; feed(): NdArray }
  | undefined {
  const { actions: c } = config;
  if (c === undefined) return undefined;
  // A stream of its own: all other draws are those of a model without actions.
  const random = randomStream(recipe.seed, `actions ${step}`);
  const { all = 0, some = 0 } = recipe.unknownActions ?? {};
  const size = c.frames * (c.scale.length + 1);
  const data = new Float32Array(recipe.batch * size);
  return {
    add(sample, window, knownFrames, perClip) {
      const u = random.uniform();
      const told = u < all ? 0 : u < all + some ? random.integer(1, c.frames - 1) : c.frames;
      if (knownFrames === undefined || told === 0) return;
      const clip = Math.floor(window / perClip);
      const first = (window % perClip) * STRIDE + knownFrames - 1;
      const rows: Actions = actionsOf(clips, clip, first).slice(0, told);
      const shown = isMirrored(clips, window) ? rows.map((a) => mirroredAction(a!, rightOf(clips, clip))) : rows;
      data.set(actionFeed(c, shown), sample * size);
    },
    feed: () => f32(actionShape(c, recipe.batch), data),
  };
}

/** Right of the picture as a direction of the world, which is that of the arm's base. */
function rightOf(clips: Clips, clip: number): readonly number[] {
  const matrix = clips.meta[clip]!.camera?.worldToCamera[0];
  if (matrix === undefined) {
    throw new OrreryError('data', `clip ${clips.meta[clip]!.id} has no camera; without it actions cannot be mirrored`);
  }
  return matrix.slice(0, 3);
}
