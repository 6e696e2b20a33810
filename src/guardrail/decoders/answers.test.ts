// Answers of the guard decoders: codes become categories, and what is no answer is an error.
import { expect, test } from 'vitest';
import { parseAegis, parseLlamaGuard, parseQwenGuard } from './answers.ts';

test.each([
  ['Aegis', parseAegis('unsafe\nO12, O4</s>'), { verdict: 'unsafe', category: 'O12', also: ['O4'] }],
  ['Aegis with an unknown code', parseAegis('unsafe\nO99'), { verdict: 'unsafe', category: '-' }],
  ['Llama Guard', parseLlamaGuard('unsafe\nS9,S1<|eot_id|>'), { verdict: 'unsafe', category: 'O4', also: ['O1'] }],
  ['Qwen', parseQwenGuard('Safety: Unsafe\nCategories: Violent'), { verdict: 'unsafe', category: 'O1' }],
  ['Qwen, controversial', parseQwenGuard('Safety: Controversial\nCategories: None'), { verdict: 'unsafe' }],
  ['safe', parseLlamaGuard('\n\nsafe<|eot_id|>'), { verdict: 'safe' }],
  ['nothing', parseAegis(''), { verdict: 'error' }],
  ['chatter', parseLlamaGuard('Sure, here is'), { verdict: 'error' }],
  ['no label', parseQwenGuard('Categories: Violent'), { verdict: 'error' }],
])('%s', (_, answer, expected) => {
  expect(answer).toMatchObject(expected);
});
