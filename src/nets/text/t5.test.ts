// The T5 encoder against a plain derivation written with loops, and its tokenizer on small published-form files.
import { afterAll, describe, expect, it } from 'vitest';
import { f32, type NdArray, randomStream } from '../../base/index.ts';
import { compile, input } from '../../graph/index.ts';
import { openRuntime } from '../../runtime/index.ts';
import { listWeights, namedWeights } from '../index.ts';
import {
  relativeBucket,
  sentencePieceTokenizer,
  T5_11B,
  type T5Config,
  t5Config,
  t5Encoder,
  textTokenizer,
} from './index.ts';

const runtime = openRuntime({ threads: 1 });
afterAll(() => runtime.dispose());

type Matrix = number[][];

const multiply = (x: Matrix, w: NdArray): Matrix => {
  const [out, width] = w.shape as [number, number];
  const data = w.data as Float32Array;
  return x.map((row) =>
    Array.from({ length: out }, (_, o) => row.reduce((s, v, i) => s + v * data[o * width + i]!, 0)),
  );
};

/** The encoder of the paper, one sequence without padding. */
function plainT5(tokens: readonly number[], c: T5Config, weight: (key: string) => NdArray): Matrix {
  const norm = (x: Matrix, key: string): Matrix => {
    const w = weight(key).data as Float32Array;
    return x.map((row) => {
      const rms = Math.sqrt(row.reduce((s, v) => s + v * v, 0) / row.length + c.eps);
      return row.map((v, i) => (v / rms) * w[i]!);
    });
  };
  const sum = (a: Matrix, b: Matrix): Matrix => a.map((row, i) => row.map((v, k) => v + b[i]![k]!));
  const relu = (v: number): number => Math.max(0, v);
  const gelu = (v: number): number => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
  const act = c.activation === 'relu' ? relu : gelu;
  const embedding = weight('shared.weight').data as Float32Array;
  let x: Matrix = tokens.map((t) => Array.from(embedding.slice(t * c.width, (t + 1) * c.width)));
  for (let layer = 0; layer < c.layers; layer++) {
    const at = `encoder.block.${layer}.layer`;
    const table = weight(
      `encoder.block.${c.hasTablePerLayer ? layer : 0}.layer.0.SelfAttention.relative_attention_bias.weight`,
    ).data as Float32Array;
    const y = norm(x, `${at}.0.layer_norm.weight`);
    const [q, k, v] = ['q', 'k', 'v'].map((n) => multiply(y, weight(`${at}.0.SelfAttention.${n}.weight`))) as [
      Matrix,
      Matrix,
      Matrix,
    ];
    const mixed = q.map(() => new Array<number>(c.heads * c.headWidth).fill(0));
    for (let h = 0; h < c.heads; h++) {
      const from = h * c.headWidth;
      for (const [i, row] of q.entries()) {
        const scores = k.map((other, j) => {
          let s = table[relativeBucket(j - i, c) * c.heads + h]!;
          for (let d = from; d < from + c.headWidth; d++) s += row[d]! * other[d]!;
          return Math.exp(s);
        });
        const total = scores.reduce((a, b) => a + b);
        for (let d = from; d < from + c.headWidth; d++) {
          mixed[i]![d] = scores.reduce((s, p, j) => s + (p / total) * v[j]![d]!, 0);
        }
      }
    }
    x = sum(x, multiply(mixed, weight(`${at}.0.SelfAttention.o.weight`)));
    const z = norm(x, `${at}.1.layer_norm.weight`);
    const into = (name: string): Matrix => multiply(z, weight(`${at}.1.DenseReluDense.${name}.weight`));
    const hidden = c.isGated
      ? into('wi_0').map((row, i) => row.map((value, o) => act(value) * into('wi_1')[i]![o]!))
      : into('wi').map((row) => row.map(act));
    x = sum(x, multiply(hidden, weight(`${at}.1.DenseReluDense.wo.weight`)));
  }
  return norm(x, 'encoder.final_layer_norm.weight');
}

const SMALL: T5Config = {
  ...T5_11B,
  layers: 2,
  width: 12,
  heads: 3,
  headWidth: 5,
  hidden: 20,
  vocabulary: 30,
  buckets: 8,
  maxDistance: 10,
};

describe('t5Encoder', () => {
  it.each([
    ['T5', SMALL],
    ['T5 1.1, gated', { ...SMALL, activation: 'gelu', isGated: true }],
    ['UMT5, a table per layer', { ...SMALL, activation: 'gelu', isGated: true, hasTablePerLayer: true }],
  ] as const)('%s agrees with a plain derivation, padding or not', async (_, c) => {
    const tokens = Array.from({ length: 14 }, (_, i) => (i * 11 + 3) % 30);
    const length = 17;
    const t = input('tokens', [1, length], 'i64');
    const m = input('mask', [1, length]);
    const random = randomStream(5, 't5');
    const values = new Map(
      listWeights((w) => t5Encoder({ tokens: t, mask: m }, c, w)).map(({ key, shape }) => {
        const size = shape.reduce((a, b) => a * b, 1);
        return [
          key,
          f32(
            shape,
            Float32Array.from({ length: size }, () => random.normal() * 0.4),
          ),
        ] as const;
      }),
    );
    const graph = compile(
      { y: t5Encoder({ tokens: t, mask: m }, c, namedWeights) },
      { weights: (name) => ({ kind: 'value', value: values.get(name)! }) },
    );
    await using session = await runtime.load(graph);
    const ids = new BigInt64Array(length);
    tokens.forEach((id, i) => {
      ids[i] = BigInt(id);
    });
    const mask = f32([1, length], new Float32Array(length).fill(1, 0, tokens.length));
    const { y } = await session.run({ tokens: { dtype: 'i64', shape: [1, length], data: ids }, mask });
    const want = plainT5(tokens, c, (key) => values.get(key)!).flat();
    const got = Array.from(y!.data as Float32Array);
    const worst = want.reduce((w, v, i) => Math.max(w, Math.abs(v - got[i]!)), 0);
    expect(worst).toBeLessThan(2e-4 * Math.max(...want.map(Math.abs)));
    expect(got.slice(want.length).every((v) => v === 0)).toBe(true);
  });

  it('counts the weights of the T5-11B encoder', () => {
    const specs = listWeights((w) =>
      t5Encoder({ tokens: input('t', [1, 2], 'i64'), mask: input('m', [1, 2]) }, T5_11B, w),
    );
    const total = specs.reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0);
    // 24 layers of 4·1024·16384 + 2·1024·65536 + 2·1024, a table of 32·128, the embedding 32128·1024, the last norm 1024.
    expect(total).toBe(24 * (4 * 1024 * 16384 + 2 * 1024 * 65536 + 2048) + 4096 + 32128 * 1024 + 1024);
  });

  it('puts distances into the published buckets', () => {
    // Values of the published function for 32 buckets and 128: exact below 8, later keys from 16 on.
    const cases: [number, number][] = [
      [0, 0],
      [-1, 1],
      [1, 17],
      [-7, 7],
      [-8, 8],
      [-11, 8],
      [-12, 9],
      [-16, 10],
      [-23, 11],
      [-32, 12],
      [-64, 14],
      [-127, 15],
      [-500, 15],
      [500, 31],
    ];
    for (const [distance, bucket] of cases) expect(relativeBucket(distance, T5_11B), String(distance)).toBe(bucket);
  });

  it('reads the published options and names what it cannot do', () => {
    const published = {
      model_type: 't5',
      d_model: 1024,
      d_kv: 128,
      d_ff: 65536,
      num_heads: 128,
      num_layers: 24,
      vocab_size: 32128,
    };
    expect(t5Config(published)).toEqual(T5_11B);
    expect(() => t5Config({ ...published, feed_forward_proj: 'swish' })).toThrow(/feed_forward_proj: got "swish"/);
    expect(() => t5Config({ ...published, d_kv: 'wide' })).toThrow(/d_kv: got "wide"/);
    expect(() => t5Config({ ...published, model_type: 'bert' })).toThrow(/model_type/);
  });
});

/** Bytes of a field: text, or number as given. */
const field = (number: number, wire: number, bytes: readonly number[]): number[] => [number * 8 + wire, ...bytes];
const text = (s: string): number[] => [...new TextEncoder().encode(s)];
const block = (number: number, bytes: readonly number[]): number[] => {
  expect(bytes.length).toBeLessThan(128);
  return field(number, 2, [bytes.length, ...bytes]);
};
const float = (v: number): number[] => [...new Uint8Array(Float32Array.of(v).buffer)];

function spiece(pieces: readonly (readonly [string, number, number])[]): Uint8Array {
  const body = pieces.flatMap(([piece, score, type]) =>
    block(1, [...block(1, text(piece)), ...field(2, 5, float(score)), ...field(3, 0, [type])]),
  );
  return Uint8Array.from([...body, ...block(2, [...field(3, 0, [1])])]);
}

const PIECES = [
  ['<pad>', 0, 3],
  ['</s>', 0, 3],
  ['<unk>', 0, 2],
  ['▁', -2, 1],
  ['▁a', -3, 1],
  ['▁ball', -4, 1],
  ['▁b', -6, 1],
  ['all', -5, 1],
  ['s', -3, 1],
  ['ro', -5, 1],
  ['ll', -5, 1],
  ['▁roll', -6, 1],
] as const;

describe('the tokenizer of spiece.model', () => {
  const tokenizer = textTokenizer(sentencePieceTokenizer(spiece(PIECES), { extraIds: 2 }));

  it('takes the most likely pieces and ends with </s>', () => {
    expect(tokenizer.encode('a ball rolls', 512)).toEqual([4, 5, 11, 8, 1]);
    expect(tokenizer.encode('  a\n ball  ', 512)).toEqual([4, 5, 1]);
    expect(tokenizer.decode([4, 5, 11, 8, 1])).toBe('a ball rolls');
  });

  it('cuts long text and keeps the end', () => {
    expect(tokenizer.encode('a ball rolls', 3)).toEqual([4, 5, 1]);
  });

  it('maps what it does not know to <unk>, and knows the fill-in tokens', () => {
    expect(tokenizer.encode('日', 512)).toEqual([3, 2, 1]);
    expect(tokenizer.idOf('<extra_id_0>')).toBe(13);
    expect(tokenizer.encode('a <extra_id_1>', 512)).toContain(12);
  });

  it('refuses damaged and foreign files', () => {
    const whole = spiece(PIECES);
    expect(() => sentencePieceTokenizer(new Uint8Array(0))).toThrow(/holds no pieces/);
    expect(() => sentencePieceTokenizer(whole.slice(0, 40))).toThrow(/spiece\.model cannot be read/);
    expect(() => sentencePieceTokenizer(Uint8Array.of(10, 200, 1))).toThrow(/a field of 200 bytes, but 0 are left/);
    const bpe = Uint8Array.from([...spiece(PIECES), ...block(2, field(3, 0, [2]))]);
    expect(() => sentencePieceTokenizer(bpe)).toThrow(/model type 2/);
    expect(() => textTokenizer({ model: 5 })).toThrow(/no "model" with a type/);
    for (let cut = 1; cut < whole.length; cut += 3) {
      try {
        sentencePieceTokenizer(whole.slice(0, cut));
      } catch (error) {
        expect(String(error)).toMatch(/spiece\.model/);
      }
    }
  });
});
