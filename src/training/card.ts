// The model card of an exported model: what it is, how it was made, what it scores, what it cannot do. Every figure comes
// from the training's own records.
import { ROBOT_LIMITS, robotIntro, robotScores } from './card-robot.ts';
import type { OwnRecipe } from './recipe.ts';

export type CardFacts = {
  readonly recipe: OwnRecipe;
  readonly parameters: number;
  readonly steps: number;
  readonly hours: number;
  /** Last validation: step and scores by name. */
  readonly validation: { readonly step: number; readonly validation: Readonly<Record<string, number>> } | undefined;
  readonly clips: number;
  /** The model that training started from; absent when it started from nothing. */
  readonly start?: { readonly name: string; readonly steps?: number; readonly hours?: number } | undefined;
};

const number = (v: number | undefined, digits = 2): string => (v === undefined ? 'not measured' : v.toFixed(digits));
const percent = (v: number | undefined): string => (v === undefined ? 'not measured' : `${(100 * v).toFixed(0)} %`);

function startLine({ name, steps, hours }: NonNullable<CardFacts['start']>): string {
  const cost =
    steps === undefined
      ? ''
      : `, whose own training took ${steps} steps, ${number(hours)} hours (\`recipes/${name}.json\`)`;
  return `- Start: the weights of \`${name}\`${cost}.`;
}

/** Markdown text of the card. */
export function modelCard(f: CardFacts): string {
  const s = f.validation?.validation ?? {};
  const isRobot = f.recipe.kind === 'world' && f.recipe.model.actions !== undefined;
  const head = [
    `# ${f.recipe.name}`,
    '',
    ...(f.recipe.kind === 'tokenizer'
      ? tokenizerIntro(f.recipe)
      : isRobot
        ? robotIntro(f.recipe)
        : worldIntro(f.recipe)),
    '',
    '## How it was made',
    '',
    `- Data: \`recipes/${f.recipe.dataset}.json\`, simulated clips of this project, ${f.clips} of them for training; held-out clips come from other seeds.`,
    `- Recipe: \`recipes/${f.recipe.name}.json\`, this project's own trainer, CPU, ${f.steps} steps, ${number(f.hours)} hours. Weights are the moving average, float16.`,
    ...(f.start === undefined ? [] : [startLine(f.start)]),
    `- ${f.parameters.toLocaleString('en')} parameters.`,
    '',
    '## Scores on held-out clips',
    '',
  ];
  const scores =
    f.recipe.kind === 'tokenizer'
      ? tokenizerScores(s, f.recipe.validationClips)
      : isRobot
        ? robotScores(s)
        : worldScores(s);
  const limits = f.recipe.kind === 'tokenizer' ? TOKENIZER_LIMITS : isRobot ? ROBOT_LIMITS : WORLD_LIMITS;
  return [...head, ...scores, '', '## Limits', '', ...limits, '', 'Licence: Apache-2.0.', ''].join('\n');
}

function tokenizerIntro(r: Extract<OwnRecipe, { kind: 'tokenizer' }>): string[] {
  const { patch, timePatch, channels } = r.model;
  return [
    `Continuous, causal video tokenizer: ${timePatch}×${patch}×${patch} pixels become one latent cell of ${channels} numbers. The first`,
    'frame stands alone, so an image is a video of one frame.',
  ];
}

function worldIntro(r: Extract<OwnRecipe, { kind: 'world' }>): string[] {
  return [
    `Diffusion transformer (${r.model.blocks} blocks, width ${r.model.width}) over the latents of orrery-tokenizer. It makes videos of 128×128 at 24`,
    'frames per second from a sentence, a picture or a video, eight frames at a time, of any length.',
  ];
}

const tokenizerScores = (s: Readonly<Record<string, number>>, clips: number): string[] => [
  '| | |',
  '|---|---|',
  `| PSNR, all pixels (squared errors of ${clips} clips summed) | ${number(s.psnr)} dB |`,
  `| PSNR, pixels that differ from the first frame by more than 24/255 | ${number(s.psnrMoving)} dB |`,
  `| squared error at patch borders relative to inside (1 = no block grid) | ${number(s.grid)} |`,
];

const worldScores = (s: Readonly<Record<string, number>>): string[] => [
  `One sample per clip, nine frames given, the first ${number(s.clips, 0)} held-out clips. "Held" repeats the last given frame; "going on" is`,
  'constant velocity: optical flow, every moving thing goes on as it moves. The model starts from that and corrects it.',
  '',
  '| | model | going on | held |',
  '|---|---|---|---|',
  `| PSNR over the next 8 frames | ${number(s.psnr8)} dB | ${number((s.repeat8 ?? 0) + (s.goingGain8 ?? 0))} dB | ${number(s.repeat8)} dB |`,
  `| gain over "held", next 8 frames | ${number(s.gain8)} dB | ${number(s.goingGain8)} dB | 0 |`,
  `| gain over "held", all 24 predicted frames | ${number(s.gain24)} dB | ${number(s.goingGain24)} dB | 0 |`,
  `| motion IoU over the next 8 frames | ${number(s.motionIoU)} | ${number(s.goingMotionIoU)} | 0 |`,
  `| objects of the last frame that are there whole (own colour, area 0.6–1.6×; truth itself ${percent(s.wholeOfTruth)}) | ${percent(s.whole)} | ${percent(s.goingWhole)} | |`,
  `| moved objects in place after 8 frames (within a third of a diameter; truth itself ${percent(s.placedOfTruth)}) | ${percent(s.placed)} | ${percent(s.goingPlaced)} | |`,
  `| pixels that change in still scenes (${number(s.stills, 0)} clips) | ${number(100 * (s.stillChange ?? 0))} % | ${number(100 * (s.goingStillChange ?? 0))} % | 0 |`,
  `| the tokenizer's own PSNR over the next 8 frames (the ceiling) | ${number(s.ceiling8)} dB | | |`,
  '',
  `Text to world, captions of the same clips: object colours and count right in the first frame ${percent(s.textRight)}, eight frames later`,
  `${percent(s.textRightLater)} (the counter reads ${percent(s.counterRight)} of the true first frames right). Pictures: \`samples.png\`, the first clips in order:`,
  'truth above prediction in pairs, then worlds from captions.',
];

const TOKENIZER_LIMITS = [
  '- Trained on simulated table scenes only. Real video is restored too, with more blur; `orrery tokenize VIDEO` prints how much.',
  '- Fine texture finer than its 16 numbers per cell is smoothed away.',
];

const WORLD_LIMITS = [
  '- It knows one narrow world: one to three coloured balls, boxes or cylinders on a floor, a ramp or a trough, still camera.',
  '- Its physics is learnt from few examples: objects smear when they touch, can break up, stop early or pass into each other.',
  '- Worlds from a sentence are soft: things are round and of the told colours, but checks, tiles and planks of floors come out weak,',
  '  ramps and troughs are rough, and other words mean little to it.',
  '- It has never seen a real video: there it lets things go on as they move and adds little.',
  '- No guardrail is part of the model; `orrery generate` puts one around it.',
];
