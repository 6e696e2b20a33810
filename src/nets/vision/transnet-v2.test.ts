// TransNet V2 against the same formulas as plain loops, in a small size with random weights.
import { describe, expect, it } from 'vitest';
import { type NdArray, randomStream } from '../../base/index.ts';
import { compile, input } from '../../graph/index.ts';
import { openRuntime } from '../../runtime/index.ts';
import { listWeights, namedWeights } from '../orrery/weights.ts';
import { colourHistogram, TRANSNET_BINS, TRANSNET_V2, type TransnetConfig, transnetV2 } from './transnet-v2.ts';

const SMALL: TransnetConfig = { filters: 2, similarity: 3, dense: 5, reach: 4, height: 9, width: 17 };
const T = 7;

/** A volume [C, T, H, W]. */
type Volume = { readonly size: readonly [number, number, number, number]; readonly at: Float64Array };
const volume = (...size: [number, number, number, number]): Volume => ({
  size,
  at: new Float64Array(size.reduce((a, b) => a * b)),
});
const index = ({ size: [, t, h, w] }: Volume, c: number, i: number, y: number, x: number): number =>
  ((c * t + i) * h + y) * w + x;

describe('transnetV2', () => {
  const specs = listWeights((w) =>
    transnetV2(input('f', [1, T, SMALL.height, SMALL.width, 3]), input('h', [1, T, TRANSNET_BINS]), SMALL, w),
  );
  const random = randomStream(3, 'transnet');
  const weights = new Map(
    specs.map(({ key, shape }): [string, NdArray & { data: Float32Array }] => {
      const n = shape.reduce((a, b) => a * b, 1);
      const isVariance = key.endsWith('running_var');
      const data = Float32Array.from({ length: n }, () =>
        isVariance ? random.uniform(0.5, 2) : random.normal() * 0.3,
      );
      return [key, { dtype: 'f32', shape, data }];
    }),
  );
  const w = (key: string): Float32Array => weights.get(key)!.data;

  /** kernel [O, I, kt, ks, ks], dilation over time only, same size. */
  function conv(x: Volume, key: string, out: number, kt: number, ks: number, dilation: number): Volume {
    const [channels, t, h, wide] = x.size;
    const y = volume(out, t, h, wide);
    const kernel = w(key);
    for (let o = 0; o < out; o++)
      for (let i = 0; i < t; i++)
        for (let r = 0; r < h; r++)
          for (let s = 0; s < wide; s++) {
            let sum = 0;
            for (let c = 0; c < channels; c++)
              for (let a = 0; a < kt; a++)
                for (let b = 0; b < ks; b++)
                  for (let d = 0; d < ks; d++) {
                    const [ti, yi, xi] = [
                      i + (a - (kt - 1) / 2) * dilation,
                      r + b - (ks - 1) / 2,
                      s + d - (ks - 1) / 2,
                    ];
                    if (ti < 0 || ti >= t || yi < 0 || yi >= h || xi < 0 || xi >= wide) continue;
                    sum += kernel[(((o * channels + c) * kt + a) * ks + b) * ks + d]! * x.at[index(x, c, ti, yi, xi)]!;
                  }
            y.at[index(y, o, i, r, s)] = sum;
          }
    return y;
  }

  function unit(x: Volume, f: number, prefix: string): Volume {
    const [, t, h, wide] = x.size;
    const out = volume(4 * f, t, h, wide);
    [1, 2, 4, 8].forEach((d, k) => {
      const space = conv(x, `${prefix}.Conv3D_${d}.layers.0.weight`, 2 * f, 1, 3, 1);
      out.at.set(conv(space, `${prefix}.Conv3D_${d}.layers.1.weight`, f, 3, 1, d).at, k * f * t * h * wide);
    });
    const per = t * h * wide;
    const bn = (name: string): Float32Array => w(`${prefix}.bn.${name}`);
    for (let i = 0; i < out.at.length; i++) {
      const c = Math.floor(i / per);
      const z = (out.at[i]! - bn('running_mean')[c]!) / Math.sqrt(bn('running_var')[c]! + 1e-3);
      out.at[i] = z * bn('weight')[c]! + bn('bias')[c]!;
    }
    return out;
  }

  const dense = (x: readonly number[], key: string): number[] =>
    Array.from(w(`${key}.bias`), (b, o) => x.reduce((s, v, i) => s + v * w(`${key}.weight`)[o * x.length + i]!, b));
  const window = (rows: readonly (readonly number[])[], key: string): number[][] =>
    rows.map((row, t) => {
      const band: number[] = [];
      for (let k = t - SMALL.reach; k <= t + SMALL.reach; k++)
        band.push(rows[k] === undefined ? 0 : rows[k]!.reduce((s, v, i) => s + v * row[i]!, 0));
      return dense(band, key).map((v) => Math.max(0, v));
    });

  it('gives the probabilities of the formulas', async () => {
    const bytes = Uint8Array.from({ length: T * SMALL.height * SMALL.width * 3 }, () => random.integer(0, 255));
    const perFrame = SMALL.height * SMALL.width * 3;
    const histograms = Array.from({ length: T }, (_, t) =>
      colourHistogram(bytes.subarray(t * perFrame, (t + 1) * perFrame)),
    );
    let x = volume(3, T, SMALL.height, SMALL.width);
    bytes.forEach((v, p) => {
      const [c, s, t] = [p % 3, Math.floor(p / 3) % (perFrame / 3), Math.floor(p / perFrame)];
      x.at[c * T * (perFrame / 3) + t * (perFrame / 3) + s] = v / 255;
    });
    const seen: number[][] = Array.from({ length: T }, () => []);
    for (let i = 0; i < 3; i++) {
      const f = SMALL.filters * 2 ** i;
      const first = unit(x, f, `SDDCNN.${i}.DDCNN.0`);
      first.at.forEach((v, k) => {
        first.at[k] = Math.max(0, v);
      });
      const second = unit(first, f, `SDDCNN.${i}.DDCNN.1`);
      const [c, t, h, wide] = second.size;
      x = volume(c, t, Math.floor(h / 2), Math.floor(wide / 2));
      for (let o = 0; o < c; o++)
        for (let k = 0; k < t; k++) {
          let total = 0;
          for (let r = 0; r < x.size[2]; r++)
            for (let s = 0; s < x.size[3]; s++) {
              let sum = 0;
              for (const [a, b] of [
                [0, 0],
                [0, 1],
                [1, 0],
                [1, 1],
              ] as const) {
                const p = index(second, o, k, 2 * r + a, 2 * s + b);
                sum += Math.max(0, second.at[p]!) + first.at[p]!;
              }
              x.at[index(x, o, k, r, s)] = sum / 4;
              total += sum / 4;
            }
          seen[k]!.push(total / (x.size[2] * x.size[3]));
        }
    }
    const projected = seen.map((row) => {
      const z = dense(row, 'frame_sim_layer.projection');
      const length = Math.hypot(...z);
      return z.map((v) => v / length);
    });
    const like = window(projected, 'frame_sim_layer.fc');
    const colours = window(
      histograms.map((h) => [...h]),
      'color_hist_layer.fc',
    );
    const expected = Array.from({ length: T }, (_, t) => {
      const flat: number[] = [];
      for (let r = 0; r < x.size[2]; r++)
        for (let s = 0; s < x.size[3]; s++) for (let c = 0; c < x.size[0]; c++) flat.push(x.at[index(x, c, t, r, s)]!);
      const h = dense([...colours[t]!, ...like[t]!, ...flat], 'fc1').map((v) => Math.max(0, v));
      return 1 / (1 + Math.exp(-dense(h, 'cls_layer1')[0]!));
    });
    const runtime = openRuntime({ threads: 1 });
    const frames = input('f', [1, T, SMALL.height, SMALL.width, 3]);
    const p = transnetV2(frames, input('h', [1, T, TRANSNET_BINS]), SMALL, namedWeights);
    const graph = compile({ p }, { weights: (name) => ({ kind: 'value', value: weights.get(name)! }) });
    const session = await runtime.load(graph);
    const found = await session.run({
      f: { dtype: 'f32', shape: frames.shape, data: Float32Array.from(bytes) },
      h: { dtype: 'f32', shape: [1, T, TRANSNET_BINS], data: Float32Array.from(histograms.flatMap((h) => [...h])) },
    });
    await runtime.dispose();
    [...(found['p']!.data as Float32Array)].forEach((v, t) => {
      expect(Math.abs(v - expected[t]!)).toBeLessThan(1e-4);
    });
  });

  it('asks for the public weights', () => {
    const all = new Map(
      listWeights((get) => transnetV2(input('f', [1, 4, 27, 48, 3]), input('h', [1, 4, 512]), TRANSNET_V2, get)).map(
        ({ key, shape }) => [key, shape] as const,
      ),
    );
    // Shapes that the public checkpoint states.
    expect(all.get('SDDCNN.0.DDCNN.0.Conv3D_1.layers.0.weight')).toEqual([32, 3, 1, 3, 3]);
    expect(all.get('SDDCNN.0.DDCNN.0.Conv3D_1.layers.1.weight')).toEqual([16, 32, 3, 1, 1]);
    expect(all.get('frame_sim_layer.projection.weight')).toEqual([128, 448]);
    expect(all.get('fc1.weight')).toEqual([1024, 4864]);
    expect(all.get('SDDCNN.2.DDCNN.1.bn.running_var')).toEqual([256]);
  });
});
