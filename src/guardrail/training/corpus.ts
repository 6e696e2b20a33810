// The training texts of the prompt classifier: building blocks of `recipes/guard-corpus` put together at random. Safe and
// unsafe texts get the same phrasings, so that phrasing alone tells nothing.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OrreryError, type RandomStream } from '../../base/index.ts';
import { LANGUAGES, type Language } from '../text/languages.ts';

/** One line of a corpus file. */
export type Block = {
  /** 1…13 for O1…O13; 0 = safe. */
  readonly category: number;
  readonly form: 'scene' | 'how' | 'text';
  readonly language: Language;
  readonly pattern: string;
  /** Word lists of the file, by name. */
  readonly slots: ReadonlyMap<string, readonly string[]>;
};

/** One text with its label. */
export type LabelledText = { readonly text: string; readonly category: number; readonly language: Language };

const LINE = /^(O\d{1,2}|S\d{1,2}|00)(?: ([SHT]))?: (.+)$/;
const FORMS = { S: 'scene', H: 'how', T: 'text' } as const;

/** Reads all blocks of a corpus folder: its `.txt` files by name. */
export function readBlocks(folder: string): Block[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  if (files.length === 0) throw new OrreryError('data', `${folder}: no .txt file with building blocks`);
  return files.sort().flatMap((name) => {
    const path = join(folder, name);
    return parseBlocks(readFileSync(path, 'utf8'), path);
  });
}

/** Reads one file; its word lists are its own. */
export function parseBlocks(text: string, source: string): Block[] {
  const slots = new Map<string, readonly string[]>();
  const blocks: Block[] = [];
  let language: Language = 'en';
  for (const [i, line] of text.split('\n').entries()) {
    const slot = /^(\w+) = (.+)$/.exec(line);
    const section = /^\[(\w+)\]$/.exec(line)?.[1];
    const match = LINE.exec(line);
    if (line === '' || line.startsWith('#')) continue;
    if (slot !== null) slots.set(slot[1]!, slot[2]!.split('|'));
    else if (section !== undefined && (LANGUAGES as readonly string[]).includes(section))
      language = section as Language;
    else if (match !== null) {
      const mark = match[1]!;
      const category = mark.startsWith('O') ? Number(mark.slice(1)) : 0;
      const form = FORMS[(match[2] ?? 'T') as keyof typeof FORMS];
      blocks.push({ category, form, language, pattern: match[3]!, slots });
    } else throw new OrreryError('data', `${source}:${i + 1}: need a slot, a [language] or a marked line`);
  }
  return blocks;
}

/** One text from a block: alternatives and slots drawn, then a phrasing around it. */
export function compose(block: Block, random: RandomStream): LabelledText {
  const core = fill(block, random)
    .replace(/\s+/g, ' ')
    .replace(/ ([,.!?])/g, '$1')
    .trim();
  const text = block.language === 'en' ? phrase(core, block.form, random) : core;
  return { text, category: block.category, language: block.language };
}

function fill(block: Block, random: RandomStream): string {
  let text = block.pattern;
  for (let round = 0; round < 6 && /[({]/.test(text); round++) {
    text = text.replace(/\(([^()]*)\)/g, (_, list: string) => random.pick(list.split('|')));
    text = text.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const words = block.slots.get(name);
      return words === undefined ? whole.slice(1, -1) : random.pick(words);
    });
  }
  return text;
}

const SCENE = [
  '{}',
  '{}',
  '{}',
  'A video of {}',
  'Footage of {}',
  'Show {}',
  'Show me {}',
  'A clip of {}',
  'Generate a video of {}',
  'Create an animation of {}',
  'Please make a short film with {}',
  'A realistic scene with {}',
  'Realistic footage of {}',
  'Close-up of {}',
  'Cinematic shot of {}',
  'I need a scene of {}',
  'An animated scene: {}',
  'Security camera view of {}',
  'Slow-motion video of {}',
  'A simulation of {}',
  'Render {}',
  'First-person view of {}',
  'A cartoon with {}',
  'There is {}',
  'The camera shows {}',
];
const HOW = [
  'How to {}',
  'Show how to {}',
  'Explain how to {}',
  'A tutorial on how to {}',
  'A video that shows how to {}',
  'Make a video that teaches viewers how to {}',
  'How do I {}?',
  'Teach me to {}',
  'Step by step guide: {}',
  'A robot demonstrating how to {}',
  'Show a person who learns to {}',
  'Instructions to {}',
  'Help me {}',
  'I want to {}',
  'Tell me the best way to {}',
  'A how-to clip: {}',
  'Plan how to {}',
  'Encourage people to {}',
  'Train the robot to {}',
];
const TEXT = [
  '{}',
  '{}',
  '{}',
  '{}',
  'A narrator says: {}',
  'Make a video that says: {}',
  'A voice says "{}"',
  'A sign reads: {}',
  'An animation with the message: {}',
  'A person tells the camera: {}',
  'Create a clip: {}',
];
const ENDINGS = [
  '',
  '',
  '',
  '',
  '',
  '',
  '.',
  '.',
  ', photorealistic',
  ' in 4k',
  ', cinematic lighting',
  ' at night',
  ' in the rain',
  ', seen from above',
  ', handheld camera',
  ', slow motion',
  ' while the camera pans',
  ', highly detailed',
  ', wide shot',
  ' in cartoon style',
  ' for a training video',
  ' in a small town',
  ', shaky phone footage',
];

function phrase(core: string, form: Block['form'], random: RandomStream): string {
  const frames = form === 'scene' ? SCENE : form === 'how' ? HOW : TEXT;
  const framed = random.pick(frames).replace('{}', core) + random.pick(ENDINGS);
  const roll = random.uniform();
  if (roll < 0.6) return framed[0]!.toUpperCase() + framed.slice(1);
  return roll < 0.97 ? framed : framed.toUpperCase();
}

/** How often languages are drawn: English for half of the texts, the others share the rest. */
const ENGLISH_SHARE = 0.55;

/** Harmless frames for words drawn from a dictionary: what the classifier does not know is no reason to refuse. */
const PLAIN_FRAMES = [
  'A {} next to a {}',
  'A {} {} on a table',
  'Two {} in the {}',
  'The {} moves toward the {}',
  'A robot picks up a {} and a {}',
  'A woman with a {} walks past a {}',
  'A man looks at the {} while the {} waits',
  'Close-up of a {} in a {}',
  'A video of {} and {} at the {}',
  'Show a {} that becomes a {}',
  'The {} {} slowly in the wind',
  'Children look for a {} in the {}',
  'How to draw a {} with a {}',
  'How to clean a {}',
  'I want to see a {} near the {}',
  'The {} said that the {} was {}',
  'A {} truck drives by the {}',
  'An old {} and a young {} talk about {}',
];

export type SourceOptions = {
  /** Ordinary words, none of which matters to a category. */
  readonly plainWords?: readonly string[];
};

/** An endless source of labelled texts: unsafe and safe alike often, categories and blocks evenly. */
export function textSource(
  blocks: readonly Block[],
  { plainWords = [] }: SourceOptions = {},
): (random: RandomStream) => LabelledText {
  const groups = new Map<string, Block[]>();
  for (const block of blocks) {
    const key = `${block.language} ${block.category}`;
    groups.set(key, [...(groups.get(key) ?? []), block]);
  }
  const others = LANGUAGES.slice(1);
  const draw = (random: RandomStream, isUnsafe: boolean, language: Language): LabelledText => {
    const keys = [...groups.keys()].filter((key) => key.startsWith(language) && key.endsWith(' 0') !== isUnsafe);
    if (keys.length === 0) return draw(random, isUnsafe, 'en');
    return compose(random.pick(groups.get(random.pick(keys))!), random);
  };
  return (random) => {
    const isUnsafe = random.uniform() < 0.5;
    const language = random.uniform() < ENGLISH_SHARE ? 'en' : random.pick(others);
    if (!isUnsafe && language === 'en' && plainWords.length > 0 && random.uniform() < 0.3) {
      const text = random.pick(PLAIN_FRAMES).replace(/\{\}/g, () => random.pick(plainWords));
      return { text: random.uniform() < 0.5 ? text + random.pick(ENDINGS) : text, category: 0, language };
    }
    const drawn = draw(random, isUnsafe, language);
    const main = language === 'en' ? { ...drawn, text: withPlainWords(drawn.text, plainWords, random) } : drawn;
    // Long prompts: harmless sentences around one that counts.
    if (random.uniform() > 0.12) return main;
    const other = draw(random, false, language);
    const joint = language === 'zh' || language === 'ja' ? '。' : '. ';
    const text = random.uniform() < 0.5 ? main.text + joint + other.text : other.text + joint + main.text;
    return { ...main, text };
  };
}

/** In a third of the texts an ordinary word stands in front of a noun: it changes nothing. */
function withPlainWords(text: string, plainWords: readonly string[], random: RandomStream): string {
  if (plainWords.length === 0 || random.uniform() > 0.33) return text;
  return text.replace(/\b(a|the|an) (?=[a-z])/i, (article) => `${article}${random.pick(plainWords)} `);
}

/** Splits blocks into parts for cross-validation; all texts of a block fall into one part. */
export function partOf(block: Block, index: number, parts: number): number {
  return (index * 7 + block.pattern.length) % parts;
}
