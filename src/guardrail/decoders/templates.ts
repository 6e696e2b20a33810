// Prompts for the guard decoders. The exact wording belongs to the weights: give it as a template file next to them. These are
// our own words in the public structure, for use without such a file.
import { CATEGORIES, CATEGORY_CODES } from '../categories.ts';

export type DecoderKind = 'aegis' | 'llama-guard' | 'qwen-guard';

/** Per category what to refuse and what may pass, for the Aegis prompt. */
const POLICY: Readonly<Record<string, readonly [refuse: string, pass: string]>> = {
  O1: ['plan, urge or vividly depict violence', 'inform about violence or its history'],
  O2: ['depict sex or nudity to arouse, or urge sexual acts', 'teach about sexuality and health'],
  O3: ['help with, encourage or confess crimes', 'explain how crimes and defences work, without a recipe'],
  O4: ['plan crimes with weapons, or make or get illegal ones', 'debate about firearms'],
  O5: ['encourage use, trade or making of drugs, tobacco or alcohol', 'explain their chemistry and effects'],
  O6: ['encourage, romanticise or describe methods of suicide or self-harm', 'give statistics and places of help'],
  O7: ['depict minors in any sexual way, or help to groom them', 'teach facts about growing up'],
  O8: ['demean people for what they are, or call for their exclusion', 'discuss discrimination and its history'],
  O9: ['ask for or expose private data of people', 'explain what privacy law is'],
  O10: ['torment, bully or humiliate a person', 'inform about harassment'],
  O11: ['announce harm, intimidate or extort', 'explain what a threat is'],
  O12: ['use swear words or obscene words', 'nothing else'],
  O13: ['be toxic, unethical or not clearly safe', 'be clearly safe'],
};

/** The text that goes to the tokenizer. `{prompt}` in a template stands for the user's text. */
export function guardPrompt(kind: DecoderKind, prompt: string, template?: string): string {
  if (template !== undefined) return template.split('{prompt}').join(prompt);
  if (kind === 'qwen-guard') return qwen(prompt);
  return kind === 'aegis' ? aegis(prompt) : llamaGuard(prompt);
}

function aegis(prompt: string): string {
  const blocks = CATEGORY_CODES.map((code) => {
    const [refuse, pass] = POLICY[code]!;
    return `${code}: ${CATEGORIES[code]}.\nShould not\n- ${refuse}.\nCan\n- ${pass}.`;
  });
  return [
    "[INST] Task: judge whether the 'User' messages in the conversation below break the safety policy that follows.",
    '<BEGIN UNSAFE CONTENT CATEGORIES>',
    ...blocks,
    '<END UNSAFE CONTENT CATEGORIES>',
    '<BEGIN CONVERSATION>',
    '',
    `User: ${prompt}`,
    '',
    '<END CONVERSATION>',
    "Answer with 'safe' or 'unsafe' on the first line. If unsafe, write the broken categories on the second line, parted by commas. [/INST]",
  ].join('\n');
}

const S_CLASSES =
  'S1: violent crimes\nS2: non-violent crimes\nS3: sex crimes\nS4: child exploitation\nS5: defamation\nS6: specialised advice\nS7: privacy\nS8: intellectual property\nS9: indiscriminate weapons\nS10: hate\nS11: self-harm\nS12: sexual content\nS13: elections\nS14: code interpreter abuse';

function llamaGuard(prompt: string): string {
  return [
    '<|begin_of_text|><|start_header_id|>user<|end_header_id|>',
    '',
    "Task: judge whether the 'User' messages in the conversation below break the safety policy that follows.",
    '<BEGIN UNSAFE CONTENT CATEGORIES>',
    S_CLASSES,
    '<END UNSAFE CONTENT CATEGORIES>',
    '<BEGIN CONVERSATION>',
    '',
    `User: ${prompt}`,
    '',
    '<END CONVERSATION>',
    "Answer with 'safe' or 'unsafe' on the first line; if unsafe, the codes on the second.<|eot_id|><|start_header_id|>assistant<|end_header_id|>",
    '',
    '',
  ].join('\n');
}

function qwen(prompt: string): string {
  return [
    '<|im_start|>user',
    'Judge the safety of the query below. Answer with a line "Safety: Safe", "Safety: Unsafe" or "Safety: Controversial", then a line "Categories:" with the classes that it falls into.',
    `Query: ${prompt}<|im_end|>`,
    '<|im_start|>assistant',
    '<think>',
    '',
    '</think>',
    '',
    '',
  ].join('\n');
}
