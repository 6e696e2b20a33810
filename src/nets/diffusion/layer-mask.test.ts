// A block that is left out: the others keep their numbers, so the file has a gap.
import { expect, it } from 'vitest';
import { input } from '../../graph/index.ts';
import { generalDit, generalDitConfig, listWeights } from '../index.ts';

const OPTIONS = {
  max_frames: 4,
  max_img_h: 8,
  max_img_w: 8,
  model_channels: 24,
  num_blocks: 3,
  num_heads: 2,
  crossattn_emb_channels: 8,
  concat_padding_mask: false,
};

it('leaves blocks out and keeps the numbers of the others', () => {
  const config = generalDitConfig({ ...OPTIONS, layer_mask: [false, true, false] });
  const inputs = {
    x: input('x', [1, 16, 1, 2, 2]),
    timesteps: input('t', [1]),
    context: input('c', [1, 2, 8]),
  };
  const blocks = new Set(
    listWeights((w) => generalDit(inputs, config, w)).flatMap(({ key }) => /blocks\.block(\d)/.exec(key)?.[1] ?? []),
  );
  expect([...blocks]).toEqual(['0', '2']);
  expect(generalDitConfig({ ...OPTIONS, layer_mask: [false, false, false] })).toEqual(generalDitConfig(OPTIONS));
  expect(() => generalDitConfig({ ...OPTIONS, layer_mask: [true] })).toThrow(/layer_mask.*3 times true or false/);
});
