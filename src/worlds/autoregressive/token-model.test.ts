// The cache must not change what the network says: pieces, whole prompts, batches and chunked prompts agree.
import { afterAll, describe, expect, it } from 'vitest';
import { f32, type NdArray, randomStream } from '../../base/index.ts';
import { type AutoregressiveConfig, namedWeights, PREDICT1_AR_5B, PREDICT1_AR_12B } from '../../nets/index.ts';
import { openRuntime } from '../../runtime/index.ts';
import { autoregressiveWeights, generateTokens, openTokenModel, type TokenEvent, type TokenModel } from '../index.ts';

const runtime = openRuntime({ threads: 1 });
afterAll(() => runtime.dispose());

const SMALL = {
  layers: 2,
  width: 32,
  heads: 4,
  keyValueHeads: 2,
  headWidth: 12,
  hidden: 48,
  outputVocabulary: 40,
  latent: { t: 2, h: 3, w: 4 },
} as const;
const BASE: AutoregressiveConfig = { ...PREDICT1_AR_12B, ...SMALL, inputVocabulary: 40, maxTokens: 24 };
const WITH_TEXT: AutoregressiveConfig = {
  ...PREDICT1_AR_5B,
  ...SMALL,
  inputVocabulary: 64,
  maxTokens: 64,
  cross: { every: 2, width: 20 },
};

function open(config: AutoregressiveConfig, chunk?: number): TokenModel {
  const random = randomStream(3, 'weights');
  const values = new Map<string, NdArray>();
  for (const { key, shape } of autoregressiveWeights(config)) {
    const size = shape.reduce((a, b) => a * b, 1);
    values.set(
      key,
      f32(
        shape,
        Float32Array.from({ length: size }, () => random.normal() * 0.3),
      ),
    );
  }
  return openTokenModel({
    runtime,
    config,
    symbols: namedWeights,
    weights: (name) => ({ kind: 'value', value: values.get(name)! }),
    ...(chunk === undefined ? {} : { chunk }),
  });
}

const text = f32(
  [1, 5, 20],
  Float32Array.from({ length: 100 }, (_, i) => (i < 60 ? Math.sin(i) : 0)),
);
const tokens = Array.from({ length: 19 }, (_, i) => (i * 7) % 40);

function furthest(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((worst, v, i) => Math.max(worst, Math.abs(v - b[i]!)), 0);
}

describe.each([
  ['base', BASE, undefined],
  ['with text and absolute positions', WITH_TEXT, text],
] as const)('%s', (_, config, context) => {
  const start = context === undefined ? {} : { context };

  it('gives the same logits in pieces, in chunks and at once', async () => {
    await using whole = open(config);
    await whole.begin(start);
    const all = await whole.feed([tokens], { logits: 'all' });
    await using cut = open(config, 4);
    await cut.begin({ ...start, capacity: 21 });
    const chunked = await cut.feed([tokens], { logits: 'all' });
    expect(furthest(chunked.data, all.data)).toBeLessThan(2e-5);
    // The last row alone, after a piece that the cache already holds.
    await cut.begin({ ...start, capacity: 20 });
    await cut.feed([tokens.slice(0, 3)]);
    await cut.feed([tokens.slice(3, 18)]);
    const last = await cut.feed([tokens.slice(18)]);
    expect(cut.length).toBe(19);
    expect(furthest(last.data, all.data.slice(-40))).toBeLessThan(2e-5);
  });

  it('keeps the rows of a batch apart', async () => {
    await using model = open(config);
    const other = tokens.map((t) => (t + 11) % 40);
    const twice =
      context === undefined ? undefined : f32([2, 5, 20], Float32Array.from([...context.data, ...context.data]));
    await model.begin({ batch: 2, ...(twice === undefined ? {} : { context: twice }) });
    await model.feed([tokens.slice(0, 6), other.slice(0, 6)]);
    const both = await model.feed([[tokens[6]!], [other[6]!]]);
    await model.begin(start);
    await model.feed([other.slice(0, 6)]);
    const one = await model.feed([[other[6]!]]);
    expect(furthest(both.data.slice(40), one.data)).toBeLessThan(2e-5);
  });

  it('draws the same tokens for the same seed, and others for another', async () => {
    await using model = open(config);
    const run = async (seed: number): Promise<readonly number[]> => {
      let last: TokenEvent | undefined;
      const options = { prompt: tokens.slice(0, 4), count: 12, seed, temperature: 1.2, topP: 0.9, ...start };
      for await (const event of generateTokens(model, options)) last = event;
      return last?.type === 'completed' ? last.tokens : [];
    };
    const first = await run(1);
    expect(first).toHaveLength(12);
    expect(await run(1)).toEqual(first);
    expect(await run(2)).not.toEqual(first);
  });
});

describe('what cannot be fed', () => {
  it('is refused by name', async () => {
    await using model = open(BASE);
    await expect(model.begin({ context: text })).rejects.toThrow(/no cross-attention/);
    await model.begin({ capacity: 5 });
    await expect(model.feed([[40]])).rejects.toThrow(/token: got 40, need a whole number from 0 to 39/);
    await expect(model.feed([[1, 2, 3, 4, 5, 6]])).rejects.toThrow(/at most 5/);
    await expect(model.feed([[1], [2]])).rejects.toThrow(/1 equal rows/);
    await expect(model.begin({ capacity: 25 })).rejects.toThrow(/from 1 to 24/);
    await using texted = open(WITH_TEXT);
    await expect(texted.begin()).rejects.toThrow(/context: got undefined, need float32 \[1, tokens, 20\]/);
  });

  it('stops a generation between two tokens', async () => {
    await using model = open(BASE);
    const stop = new AbortController();
    const options = { prompt: [1, 2], count: 9, seed: 1, temperature: 0, signal: stop.signal };
    const seen: string[] = [];
    const run = async (): Promise<void> => {
      for await (const event of generateTokens(model, options)) {
        seen.push(event.type);
        stop.abort();
      }
    };
    await expect(run()).rejects.toMatchObject({ code: 'canceled' });
    expect(seen).toEqual(['token']);
  });
});
