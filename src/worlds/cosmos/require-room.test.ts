// What is refused, and what the message tells to do instead.
import { describe, expect, it } from 'vitest';
import { cosmosTokenizerConfig, PREDICT1_7B, T5_11B } from '../../nets/index.ts';
import { activationsOf, networkNeed } from './fit.ts';
import { ditNetwork, textNetwork } from './networks.ts';
import { type PartNeed, requireRoom, tokenizerNeeds } from './require-room.ts';

const SIZE = { frames: 9, height: 128, width: 128 };
const network = ditNetwork(PREDICT1_7B);
const transformer: PartNeed = {
  name: 'transformer',
  need: (form, { frames, height, width }) =>
    networkNeed(network, {
      ...form,
      activationBytes: activationsOf(
        ditNetwork({ ...PREDICT1_7B, blocks: 2 }, { t: 1 + (frames - 1) / 8, h: height / 8, w: width / 8 }),
      ),
    }),
};
const stored = { weights: 'stored', offload: false } as const;

function problem(parts: readonly PartNeed[], memoryBytes: number, options: object = {}, size = SIZE): string {
  try {
    requireRoom('a model', parts, size, { ...stored, ...options, memoryBytes });
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('a run that does not fit', () => {
  it('starts where there is room', () => {
    expect(problem([transformer], 64e9)).toBe('');
    expect(problem([], 1)).toBe('');
  });

  it('is told the forms of weights that fit', () => {
    const message = problem([transformer], 10e9);
    expect(message).toMatch(/needs about 1[4-6]\.\d GB for its transformer .* but 10\.0 GB are available/);
    expect(message).toMatch(/--weights 4bit \(\d\.\d GB\), --offload \(\d\.\d GB\)/);
    expect(message).not.toContain('--weights 8bit (');
    expect(message).toContain('--memory GB');
    expect(message).not.toContain('\n');
  });

  it('names the largest part', () => {
    const text: PartNeed = {
      name: 'text encoder',
      need: (form) => networkNeed(textNetwork(T5_11B), { ...form, storedWidth: 4 }),
    };
    expect(problem([transformer, text], 16e9)).toMatch(/for its text encoder .* would fit: --weights 8bit/);
  });

  it('is told a smaller size where no form of weights helps', () => {
    const tokenizer = tokenizerNeeds(cosmosTokenizerConfig({ kind: 'CV' }));
    const message = problem(tokenizer, 3e9, {}, { frames: 121, height: 704, width: 1280 });
    expect(message).toMatch(/for its tokenizer \((en|de)code\)/);
    const [, frames, height = '704', width = '1280'] =
      /would fit: --frames (\d+)(?: --height (\d+) --width (\d+))?/.exec(message) ?? [];
    expect(problem(tokenizer, 3e9, {}, { frames: Number(frames), height: Number(height), width: Number(width) })).toBe(
      '',
    );
  });

  it('is told when nothing fits', () => {
    expect(problem([transformer], 1e8)).toContain('nothing here: use a machine with more memory');
    expect(problem([transformer], 1e8, { canShrink: false })).toContain('nothing here');
  });
});
