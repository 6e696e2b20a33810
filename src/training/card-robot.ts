// The part of a model card that is about an action-conditioned specialist: what it is, what it scores beside predictions that are
// not told the actions, what it cannot do. Every figure comes from the training's records.
import type { WorldRecipe } from './recipe.ts';

type Scores = Readonly<Record<string, number>>;

const number = (v: number | undefined, digits = 2): string => (v === undefined ? 'not measured' : v.toFixed(digits));

export function robotIntro(r: WorldRecipe): string[] {
  return [
    `An arm that pushes blocks, conditioned on the arm's actions: ${r.from?.split('/').at(-1) ?? 'a generalist'} post-trained with a further input for them, which`,
    'starts at zero. It makes 128×128 frames at 24 per second, eight a call, one action per frame, from nine frames or one.',
    '`orrery step VIDEO --actions FILE`, in the library `openRobotWorld(…)` and `world.step(action)`. An action is seven numbers: Δx, Δy, Δz of the',
    'tip in the base frame (m, x away from the base, z up), Δroll, Δpitch, Δyaw (rad), gripper; this arm moves by the first three only.',
  ];
}

/** Columns of the table: prefix of the score names and heading. */
const COLUMNS = [
  ['', 'told the actions'],
  ['untold', 'the same model, not told'],
  ['generalist', 'generalist before post-training'],
  ['going', 'constant velocity'],
  ['held', 'last frame held'],
  ['truth', 'true frames'],
] as const;

const name = (prefix: string, score: string): string =>
  prefix === '' ? score : prefix + score[0]!.toUpperCase() + score.slice(1);

export function robotScores(s: Scores): string[] {
  const row = (text: string, score: string, digits: number): string =>
    `| ${text} | ${COLUMNS.map(([prefix]) => number(s[name(prefix, score)], digits)).join(' | ')} |`;
  const ratio = (score: string): string => {
    const [told, untold] = [s[score], s[name('untold', score)]];
    return number(told === undefined || untold === undefined ? undefined : told / untold);
  };
  return [
    `One sample per clip, nine frames given, ${number(s['clips'], 0)} held-out clips, ${number(s['movedObjects16'], 0)} of ${number(s['objects16'], 0)} visible objects moved by more than a third of their`,
    'diameter within 16 actions. The error is the distance of the object (found by its colour) from its true place in diameters, at most 2.',
    '',
    `| | ${COLUMNS.map(([, heading]) => heading).join(' | ')} |`,
    `|---|${COLUMNS.map(() => '---').join('|')}|`,
    row('error of moved objects after 8 actions', 'movedError8', 3),
    row('error of moved objects after 16 actions', 'movedError16', 3),
    row('error of moved objects after 24 actions', 'movedError24', 3),
    row('error of all objects after 16 actions', 'error16', 3),
    row('PSNR over 16 frames, dB', 'psnr16', 2),
    row('motion IoU over 16 frames', 'motionIoU16', 2),
    '',
    `Error of moved objects after 16 actions relative to the same model without actions: ${ratio('movedError16')} (all objects ${ratio('error16')}; wanted: at most 0.5).`,
    'Pictures: `samples.png`, the first clips in order: truth, told, not told, generalist.',
  ];
}

export const ROBOT_LIMITS = [
  '- One arm, one table, one front view, one to three boxes or cylinders in few colours, all simulated.',
  '- The arm of its data is kinematic: it is never held up by what it pushes.',
  '- Steps of fewer than eight actions cost as much as eight; after many calls pictures soften.',
  '- It does not say which action led from one observation to another (inverse dynamics).',
];
