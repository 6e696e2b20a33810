// The model card of an exported model: what it is, how it was made, what it scores, what it cannot do. Every figure comes
// from the training's own records.
import type { Recipe } from './recipe.ts';

export type CardFacts = {
  readonly recipe: Recipe;
  readonly parameters: number;
  readonly steps: number;
  readonly hours: number;
  /** Last validation: step and scores by name. */
  readonly validation: { readonly step: number; readonly validation: Readonly<Record<string, number>> } | undefined;
  readonly clips: number;
};

const number = (v: number | undefined, digits = 2): string => (v === undefined ? 'not measured' : v.toFixed(digits));
const percent = (v: number | undefined): string => (v === undefined ? 'not measured' : `${(100 * v).toFixed(0)} %`);

/** Markdown text of the card. */
export function modelCard(f: CardFacts): string {
  const s = f.validation?.validation ?? {};
  const head = [
    `# ${f.recipe.name}`,
    '',
    ...(f.recipe.kind === 'tokenizer' ? tokenizerIntro(f.recipe) : worldIntro(f.recipe)),
    '',
    '## How it was made',
    '',
    `- Data: \`recipes/${f.recipe.dataset}.json\`, simulated clips of this project, ${f.clips} of them for training; held-out clips come from other seeds.`,
    `- Recipe: \`recipes/${f.recipe.name}.json\`, this project's own trainer, CPU, ${f.steps} steps, ${number(f.hours)} hours. Weights are the moving average, float16.`,
    `- ${f.parameters.toLocaleString('en')} parameters.`,
    '',
    '## Scores on held-out clips',
    '',
  ];
  const scores = f.recipe.kind === 'tokenizer' ? tokenizerScores(s, f.recipe.validationClips) : worldScores(s);
  const limits = f.recipe.kind === 'tokenizer' ? TOKENIZER_LIMITS : WORLD_LIMITS;
  return [...head, ...scores, '', '## Limits', '', ...limits, '', 'Licence: Apache-2.0.', ''].join('\n');
}

function tokenizerIntro(r: Extract<Recipe, { kind: 'tokenizer' }>): string[] {
  const { patch, timePatch, channels } = r.model;
  return [
    `Continuous, causal video tokenizer: ${timePatch}×${patch}×${patch} pixels become one latent cell of ${channels} numbers. The first`,
    'frame stands alone, so an image is a video of one frame.',
  ];
}

function worldIntro(r: Extract<Recipe, { kind: 'world' }>): string[] {
  return [
    `Diffusion transformer (${r.model.blocks} blocks, width ${r.model.width}) over the latents of orrery-tokenizer. It makes 33 frames at 128×128`,
    'from a sentence, from one picture, or from nine frames, and goes on from its own last frames for longer videos.',
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
  `One sample per clip, nine frames given, ${number(s.clips, 0)} clips. Baseline: the last given frame repeated.`,
  '',
  '| | model | baseline |',
  '|---|---|---|',
  `| PSNR over the next 8 frames | ${number(s.psnr8)} dB (gain ${number(s.gain8)}) | ${number(s.repeat8)} dB |`,
  `| PSNR gain over all 24 predicted frames | ${number(s.gain24)} dB | 0 |`,
  `| motion IoU over the next 8 frames | ${number(s.motionIoU)} | 0 |`,
  `| objects of the last frame that are there whole (own colour, area 0.6–1.6×) | ${percent(s.whole)} (truth itself: ${percent(s.wholeOfTruth)}) | |`,
  `| moved objects in place after 8 frames (within a third of a diameter) | ${percent(s.placed)} (truth itself: ${percent(s.placedOfTruth)}) | |`,
  `| tokenizer's own PSNR over the next 8 frames (the ceiling) | ${number(s.ceiling8)} dB | |`,
];

const TOKENIZER_LIMITS = [
  '- Trained on simulated table scenes only. Real video is restored too, with more blur; `orrery tokenize VIDEO` prints how much.',
  '- Fine texture finer than its 16 numbers per cell is smoothed away.',
];

const WORLD_LIMITS = [
  '- It knows one narrow world: one to three coloured balls, boxes or cylinders on a floor, a ramp or a trough, still camera.',
  '- Its physics is learnt from few examples: objects can smear, break up, stop early or pass into each other.',
  '- Given a real video it mostly holds the last frame; it has never seen one.',
  '- Captions outside the words of its training are ignored in part. No guardrail is part of the model.',
];
