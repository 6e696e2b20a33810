// The card of a guard model.
import type { GuardRecipe } from './train-guard.ts';

/** Cross-validation at the threshold; shares 0…1. */
type Figures = {
  readonly texts: number;
  readonly auc: number;
  readonly missed: number;
  readonly refused: number;
};

export type GuardCardFacts = {
  readonly recipe: GuardRecipe;
  readonly parameters: number;
  readonly blocks: number;
  /** Hours of the last run alone. */
  readonly hours: number;
  readonly scores: {
    readonly parts: number;
    readonly heldOut: number;
    readonly english: Figures;
    readonly others: Figures;
  };
  readonly threshold: number;
};

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;

/** Markdown. What was measured on other sets belongs into the documents, not into a generated file. */
export function guardCard({ recipe, parameters, blocks, hours, scores, threshold }: GuardCardFacts): string {
  const nets = recipe.members === 1 ? '' : ` (the mean of ${recipe.members} networks)`;
  return `# ${recipe.name}

The prompt guard of Orrery: word lists, a concept lexicon of eleven languages, and a classifier of ${(parameters / 1e6).toFixed(1)}M parameters${nets} over the
categories O1…O13. It decides about prompts for world models, nothing else; it does not look at pictures.

- **Files**: \`model.safetensors\` (float16), \`lexicon.txt\`, \`blocklist.txt\`, \`vocabulary.txt\`, \`words.bloom\` (a filter of known English words).
- **Data**: ${blocks} building blocks in \`recipes/guard-corpus\`, written for Orrery in English, Spanish, French, German, Italian, Portuguese, Russian,
  Arabic, Hindi, Chinese and Japanese; ${recipe.texts} texts are put together from them by a seeded program. No foreign data set, no foreign weights,
  no real people, no slurs. Texts outside English were not proof-read by native speakers.
- **Training**: \`recipes/${recipe.name}.json\`, ${recipe.steps} steps of ${recipe.batch} texts${recipe.members > 1 ? ' for each network' : ''}, AdamW, averaged weights, ${hours} hours on one thread of a shared machine
  (cross-validation takes ${scores.heldOut} such ${scores.heldOut === 1 ? 'run' : 'runs'} more); the command is \`orrery guard train recipes/${recipe.name}.json\`.
- **Threshold** ${threshold}: where misses are ${recipe.missesPerRefusal} times as frequent as refusals in cross-validation over blocks (${scores.heldOut} of ${scores.parts} parts held out, each run as long as the last one; half
  of the English texts in disguise). The network had never seen the wording of these texts, and a held-out block often holds a topic that no other block has, so the figures are
  worse than those for new wordings of known topics. Probabilities are calibrated per language on the same texts.

| held-out texts | number | AUC | unsafe missed | safe refused |
|---|---|---|---|---|
| English | ${scores.english.texts} | ${scores.english.auc.toFixed(3)} | ${percent(scores.english.missed)} | ${percent(scores.english.refused)} |
| other languages | ${scores.others.texts} | ${scores.others.auc.toFixed(3)} | ${percent(scores.others.missed)} | ${percent(scores.others.refused)} |

- **Limits**: it knows topics, not intentions. Indirect wording, irony, other languages, very new slang and long stories get past it. It refuses some
  harmless texts that speak of weapons, drugs, illness or private data. Content about minors is recognised by name only; use a specialised
  service for that. Do not use it to judge people.
- **Licence**: Apache-2.0.
`;
}
