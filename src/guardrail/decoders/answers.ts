// What the public guard decoders answer, and the codes that their classes stand for here. Parsing is strict: what is not an
// answer is an error, and blocks.
import type { GuardCategory } from '../../base/index.ts';
import { CATEGORY_CODES } from '../categories.ts';
import type { Answer } from '../runner.ts';

const error = (what: string): Answer => ({
  verdict: 'error',
  reason: `the decoder answered ${what}, which is no verdict`,
});

/** First line `safe` or `unsafe`, then a line of codes; end-of-turn marks are stripped. */
function lines(answer: string): string[] {
  return answer
    .replace(/<\|[^|]*\|>|<\/?s>/g, '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** A line `safe` or `unsafe`, then for the latter a line of codes. */
function parseCodes(answer: string, categoryOf: (code: string) => GuardCategory | undefined): Answer {
  const [first = '', codes = ''] = lines(answer);
  if (first.toLowerCase() === 'safe') return { verdict: 'safe', reason: 'safe' };
  if (first.toLowerCase() !== 'unsafe') return error(first === '' ? 'nothing' : 'something else');
  return unsafe(
    codes.split(',').map((c) => categoryOf(c.trim().toUpperCase())),
    'unsafe',
  );
}

/** The first class that is known decides; the others count when the policy lets that one through. */
function unsafe(found: readonly (GuardCategory | undefined)[], reason: string): Answer {
  const [category = '-', ...also] = found.filter((c) => c !== undefined);
  return { verdict: 'unsafe', category, also, reason };
}

/** Aegis: LlamaGuard with the defensive adapter; codes O1…O13. */
export const parseAegis = (answer: string): Answer =>
  parseCodes(answer, (code) => CATEGORY_CODES.find((c) => c === code));

/** Classes S1…S14 of Llama Guard 3. */
const LLAMA_GUARD: Readonly<Record<string, GuardCategory>> = {
  S1: 'O1',
  S2: 'O3',
  S3: 'O2',
  S4: 'O7',
  S5: 'O10',
  S6: 'O13',
  S7: 'O9',
  S8: 'O13',
  S9: 'O4',
  S10: 'O8',
  S11: 'O6',
  S12: 'O2',
  S13: 'O13',
  S14: 'O13',
};

/** Llama Guard 3: like Aegis with its own codes. */
export const parseLlamaGuard = (answer: string): Answer => parseCodes(answer, (code) => LLAMA_GUARD[code]);

/** Classes of Qwen3Guard by their first word or words. */
const QWEN: readonly (readonly [RegExp, GuardCategory])[] = [
  [/^violent/i, 'O1'],
  [/^non-violent/i, 'O3'],
  [/^sexual/i, 'O2'],
  [/^(pii|personally)/i, 'O9'],
  [/^suicide/i, 'O6'],
  [/^unethical/i, 'O13'],
  [/^politically/i, 'O13'],
  [/^copyright/i, 'O13'],
  [/^jailbreak/i, 'O13'],
];

/** Qwen3Guard-Gen: a line `Safety: …` and a line `Categories: …`. */
export function parseQwenGuard(answer: string, controversial: 'block' | 'allow' = 'block'): Answer {
  const label = /^\s*Safety:\s*(Safe|Unsafe|Controversial)\b/im.exec(answer)?.[1]?.toLowerCase();
  if (label === undefined) return error(answer.trim() === '' ? 'nothing' : 'something without a safety label');
  if (label === 'safe') return { verdict: 'safe', reason: 'safe' };
  if (label === 'controversial' && controversial === 'allow') {
    return { verdict: 'safe', reason: 'controversial, which the policy allows' };
  }
  const names = (/^\s*Categories:\s*(.+)$/im.exec(answer)?.[1] ?? '').split(',').map((n) => n.trim());
  return unsafe(
    names.map((n) => QWEN.find(([pattern]) => pattern.test(n))?.[1]),
    label,
  );
}
