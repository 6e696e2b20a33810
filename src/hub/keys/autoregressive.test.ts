// Layouts of autoregressive checkpoints that no stored case covers: NeMo, damaged shard sets, unknown keys.
import { describe, expect, it } from 'vitest';
import { f32, type NdArray, toF32 } from '../../base/index.ts';
import {
  assembleTensor,
  autoregressiveLayout,
  fromNemo,
  fromTransformerEngine,
  mergeTensorParallel,
  type Shapes,
  tensorParallelShard,
} from '../index.ts';

const rows = (n: number, width: number, first = 0): NdArray & { data: Float32Array } =>
  f32(
    [n, width],
    Float32Array.from({ length: n * width }, (_, i) => first + Math.floor(i / width)),
  );

describe('layouts', () => {
  it('are told apart by their keys', () => {
    expect(autoregressiveLayout(['model.norm.weight', 'model.layers.0.attention.wq.weight'])).toBe('pytorch');
    expect(autoregressiveLayout(['model.layers.0.self_attention.layernorm_qkv.query_weight'])).toBe(
      'transformer-engine',
    );
    expect(autoregressiveLayout(['decoder.layers.0.self_attention.linear_qkv.weight'])).toBe('nemo');
    expect(() => autoregressiveLayout(['net.blocks.block0.x'])).toThrow(
      /no attention weights of an autoregressive model/,
    );
  });

  it('take the interleaved heads of NeMo apart', () => {
    // 4 query heads, 2 key heads of width 1: rows q0 q1 k0 v0 q2 q3 k1 v1.
    const qkv = rows(8, 3);
    const source = new Map([
      ['model.decoder.layers.3.self_attention.linear_qkv.weight', qkv],
      ['model.decoder.layers.3.mlp.linear_fc1.weight', rows(4, 3)],
      ['embedding.word_embeddings.weight', rows(2, 3)],
    ]);
    const plans = fromNemo(new Map([...source].map(([k, v]) => [k, v.shape])), { heads: 4, keyValueHeads: 2 });
    const values = Object.fromEntries(
      plans.map((p) => [
        p.key,
        Array.from(toF32(assembleTensor(p, (k) => source.get(k)!))).filter((_, i) => i % 3 === 0),
      ]),
    );
    expect(values).toEqual({
      'model.layers.3.attention.wq.weight': [0, 1, 4, 5],
      'model.layers.3.attention.wk.weight': [2, 6],
      'model.layers.3.attention.wv.weight': [3, 7],
      'model.layers.3.feed_forward.w1.weight': [0, 1],
      'model.layers.3.feed_forward.w3.weight': [2, 3],
      'model.tok_embeddings.weight': [0, 1],
    });
  });

  it('name keys that do not belong', () => {
    const shapes: Shapes = new Map([['model.layers.0.surprise', [1]]]);
    expect(() => fromTransformerEngine(shapes)).toThrow(/model\.layers\.0\.surprise is no weight/);
    expect(() => fromNemo(shapes, { heads: 2, keyValueHeads: 1 })).toThrow(/surprise/);
  });
});

describe('tensor-parallel shards', () => {
  const key = 'model.layers.0.attention.wo.weight';
  const whole = f32(
    [2, 6],
    Array.from({ length: 12 }, (_, i) => i),
  );
  const shapes: Shapes = new Map([[key, [2, 6]]]);

  it('come apart and together on the second axis', () => {
    const shards = [0, 1, 2].map((rank) => {
      const [plan] = tensorParallelShard(shapes, 3, rank);
      return new Map([[key, assembleTensor(plan!, () => whole)]]);
    });
    expect([...shards[1]!.get(key)!.data]).toEqual([2, 3, 8, 9]);
    const [plan] = mergeTensorParallel(shards.map((s) => new Map([...s].map(([k, v]) => [k, v.shape]))));
    expect(assembleTensor(plan!, (k, shard) => shards[shard]!.get(k)!)).toEqual(whole);
  });

  it('average copies that differ, and keep equal ones bit for bit', () => {
    const norm = {
      key: 'model.norm.weight',
      combine: 'mean' as const,
      parts: [0, 1].map((shard) => ({ key: 'n', shard })),
    };
    const different = assembleTensor(norm, (_, shard) => f32([2], [shard, 2]));
    expect([...different.data]).toEqual([0.5, 2]);
    const half: NdArray = { dtype: 'bf16', shape: [1], data: Uint16Array.of(0x3f81) };
    expect(assembleTensor(norm, () => half)).toBe(half);
  });

  it('name the shard that lacks a key', () => {
    expect(() => mergeTensorParallel([shapes, new Map()])).toThrow(/shard 1 has no model\.layers\.0\.attention\.wo/);
    expect(() => tensorParallelShard(shapes, 4, 0)).toThrow(/shards: got 4, need a number that divides the 6 places/);
  });
});
