// Actions of a robot as a world model reads them: scaled, with a flag for each that says whether it is known.
import { InputError } from '../base/index.ts';
import type { NanoActions } from '../nets/orrery/nano.ts';

/**
 * One action per frame: Δx, Δy, Δz of the tool (m, base frame), Δroll, Δpitch, Δyaw (rad), gripper (0 open … 1 closed).
 * Undefined stands for an action that is not known.
 */
export type Actions = readonly (readonly number[] | undefined)[];

/** Numbers of an action. */
export const ACTION_SIZE = 7;

/** Shape of the network's input for a batch. */
export const actionShape = (c: NanoActions, batch: number): number[] => [batch, c.frames, c.scale.length + 1];

/** The input of one sample, float32 [F·(S + 1)]; what is missing at the end is unknown. */
export function actionFeed(c: NanoActions, actions: Actions): Float32Array {
  const size = c.scale.length;
  const out = new Float32Array(c.frames * (size + 1));
  for (let f = 0; f < c.frames; f++) {
    const action = actions[f];
    if (action === undefined) continue;
    for (let i = 0; i < size; i++) out[f * (size + 1) + i] = action[i]! * c.scale[i]!;
    out[f * (size + 1) + size] = 1;
  }
  return out;
}

/** Actions read from outside, checked: rows of finite numbers. */
export function requireActions(actions: readonly unknown[], size = ACTION_SIZE): readonly (readonly number[])[] {
  for (const [i, action] of actions.entries()) {
    const isRow = Array.isArray(action) && action.length === size && action.every((v) => Number.isFinite(v));
    if (isRow) continue;
    throw new InputError(`action ${i}`, {
      got: action,
      need: `${size} numbers: Δx Δy Δz in metres, Δroll Δpitch Δyaw in rad, gripper 0…1`,
    });
  }
  return actions as readonly (readonly number[])[];
}

/**
 * An action in the mirror image of its scene: the tool's motion along the picture's right turns round.
 * @param right right of the picture in the base frame; only its horizontal part counts
 */
export function mirroredAction(action: readonly number[], right: readonly number[]): number[] {
  const [x, y] = [right[0]!, right[1]!];
  const along = (2 * (action[0]! * x + action[1]! * y)) / (x * x + y * y);
  // Mirrored, a turn about an axis in the mirror changes its sign, one about the mirror's normal does not.
  const spin = (2 * (action[3]! * x + action[4]! * y)) / (x * x + y * y);
  return [
    action[0]! - along * x,
    action[1]! - along * y,
    action[2]!,
    spin * x - action[3]!,
    spin * y - action[4]!,
    -action[5]!,
    ...action.slice(6),
  ];
}
