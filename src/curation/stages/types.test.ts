// Kinds by example: the vote, the errors, and pictures of two kinds told apart by the shipped embedding.
import { mkdirSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { randomStream } from '../../base/index.ts';
import { parseCurateOptions } from '../options.ts';
import type { Samples } from '../pass/measure.ts';
import { openEmbedder } from './embed.ts';
import { checkTypes, type Example, kindOf, lookOf, readExamples } from './types.ts';

const [width, height] = [80, 60];

/** Road: a grey plain under a blue sky. Drawing: saturated patches with hard edges. */
function picture(kind: 'road' | 'drawing', seed: number): Uint8Array {
  const random = randomStream(seed, kind);
  const rgb = new Uint8Array(width * height * 3);
  const colours = Array.from({ length: 12 }, () => [0, 1, 2].map(() => (random.uniform() < 0.5 ? 20 : 235)));
  const horizon = height * random.uniform(0.35, 0.5);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const c =
        kind === 'drawing'
          ? colours[(Math.floor(x / 20) + 4 * Math.floor(y / 20)) % 12]!
          : y < horizon
            ? [130, 170, 215]
            : [95 + (y % 7), 95 + (y % 7), 98 + (y % 7)];
      rgb.set(c, (y * width + x) * 3);
    }
  return rgb;
}

describe('kinds by example', () => {
  it('tells two kinds of pictures apart', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'orrery-kinds-'));
    for (const kind of ['road', 'drawing'] as const) {
      mkdirSync(join(folder, kind));
      for (let i = 0; i < 3; i++)
        await sharp(picture(kind, i), { raw: { width, height, channels: 3 } })
          .png()
          .toFile(join(folder, kind, `${i}.png`));
    }
    const examples = await readExamples(folder);
    expect(examples.map((e) => e.kind)).toEqual(['drawing', 'drawing', 'drawing', 'road', 'road', 'road']);
    const embedder = await openEmbedder();
    for (const kind of ['road', 'drawing'] as const) {
      const frames = [picture(kind, 17)];
      const samples: Samples = { width, height, times: [0], frames };
      const found = kindOf(lookOf(await embedder.embed(samples, undefined)), examples);
      expect(found.kind).toBe(kind);
    }
    await embedder.dispose();
    const options = (more: object) => parseCurateOptions({ typeExamples: folder, ...more });
    expect(() => checkTypes(options({ dropTypes: ['drawing'] }))).not.toThrow();
    expect(() => checkTypes(options({ keepTypes: ['sea'] }))).toThrow(/sea.*drawing, road/);
    expect(() => checkTypes(parseCurateOptions({ typeExamples: join(folder, 'road') }))).toThrow('two sub-folders');
    expect(() => parseCurateOptions({ dropTypes: ['x'] })).toThrow('typeExamples');
  });

  it('lets the closest decide', () => {
    const at = (angle: number): Float32Array => Float32Array.of(Math.cos(angle), Math.sin(angle));
    const examples: Example[] = [
      { kind: 'a', look: at(0) },
      ...[0.7, 0.8, 0.9, 1].map((angle) => ({ kind: 'b', look: at(angle) })),
    ];
    expect(kindOf(at(0.05), examples).kind).toBe('a');
    expect(kindOf(at(0.75), examples).kind).toBe('b');
  });
});
