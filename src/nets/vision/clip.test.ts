// The CLIP tower in a small size: what the public checkpoint must hold, unit features, and an answer that follows from the
// formulas when all weights but a few are zero.
import { describe, expect, it } from 'vitest';
import { type NdArray, randomStream } from '../../base/index.ts';
import { compile, input } from '../../graph/index.ts';
import { openRuntime } from '../../runtime/index.ts';
import { listWeights, namedWeights } from '../orrery/weights.ts';
import { aestheticHead, CLIP_VIT_L14, type ClipConfig, clipVision } from './clip.ts';

const SMALL: ClipConfig = { width: 8, heads: 2, mlpWidth: 12, layers: 2, imageSize: 8, patch: 4, features: 6 };

describe('clipVision', () => {
  it('asks for the public weights', () => {
    const specs = new Map(
      listWeights((w) => aestheticHead(clipVision(input('x', [1, 3, 224, 224]), CLIP_VIT_L14, w), w)).map(
        ({ key, shape }) => [key, shape] as const,
      ),
    );
    expect(specs.get('vision_model.embeddings.position_embedding.weight')).toEqual([257, 1024]);
    expect(specs.get('vision_model.encoder.layers.23.mlp.fc1.weight')).toEqual([4096, 1024]);
    expect(specs.get('visual_projection.weight')).toEqual([768, 1024]);
    expect(specs.get('layers.0.weight')).toEqual([1024, 768]);
    expect(specs.get('layers.7.bias')).toEqual([1]);
    // 304 million parameters of the tower with its projection, and the head's 0.9 million.
    const total = [...specs.values()].reduce((n, shape) => n + shape.reduce((a, b) => a * b, 1), 0);
    expect(Math.round(total / 1e6)).toBe(305);
  });

  it('with identity layers is the normalised projection of the normalised class token', async () => {
    const random = randomStream(5, 'clip');
    const x = input('x', [1, 3, 8, 8]);
    const weights = new Map(
      listWeights((w) => clipVision(x, SMALL, w)).map(({ key, shape }): [string, NdArray & { data: Float32Array }] => {
        // Attention and MLP give nothing, so that the class token goes through unchanged.
        const isSilent = /out_proj|fc2/.test(key);
        const isScale = /norm\d?\.weight$/.test(key);
        const n = shape.reduce((a, b) => a * b, 1);
        const data = Float32Array.from({ length: n }, () => (isSilent ? 0 : isScale ? 1 : random.normal()));
        if (/norm\d?\.bias$/.test(key)) data.fill(0);
        return [key, { dtype: 'f32', shape, data }];
      }),
    );
    const runtime = openRuntime({ threads: 1 });
    const graph = compile(
      { y: clipVision(x, SMALL, namedWeights) },
      { weights: (name) => ({ kind: 'value', value: weights.get(name)! }) },
    );
    const session = await runtime.load(graph);
    const { y } = await session.run({
      x: { dtype: 'f32', shape: [1, 3, 8, 8], data: new Float32Array(192).fill(0.3) },
    });
    await runtime.dispose();
    const w = (key: string): Float32Array => weights.get(key)!.data;
    const standard = (v: readonly number[]): number[] => {
      const mean = v.reduce((a, b) => a + b) / v.length;
      const deviation = Math.sqrt(v.reduce((a, b) => a + (b - mean) ** 2, 0) / v.length + 1e-5);
      return v.map((one) => (one - mean) / deviation);
    };
    const place = w('vision_model.embeddings.position_embedding.weight');
    const token = standard([...w('vision_model.embeddings.class_embedding')].map((v, i) => v + place[i]!));
    const pooled = standard(token);
    const projection = w('visual_projection.weight');
    const raw = Array.from({ length: 6 }, (_, o) => pooled.reduce((s, v, i) => s + v * projection[o * 8 + i]!, 0));
    const length = Math.hypot(...raw);
    [...(y!.data as Float32Array)].forEach((v, i) => {
      expect(Math.abs(v - raw[i]! / length)).toBeLessThan(1e-4);
    });
  });
});
