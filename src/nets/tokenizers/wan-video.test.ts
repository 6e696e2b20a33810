// The Wan autoencoder against arithmetic written out here for its unusual parts, and group by group against the whole clip.
import { describe, expect, it } from 'vitest';
import { f32, type NdArray, randomStream } from '../../base/index.ts';
import { compile, input } from '../../graph/index.ts';
import { openRuntime } from '../../runtime/index.ts';
import { listWeights, namedWeights } from '../orrery/weights.ts';
import { WAN_2_1, WAN_2_1_LATENTS, type WanConfig, wanConfig, wanOptions } from './wan-config.ts';
import { decodeWan, encodeWan, wanMemory, wanPastOf } from './wan-video.ts';

const TINY: WanConfig = {
  ...WAN_2_1,
  width: 4,
  decoderWidth: 4,
  latentChannels: 3,
  factors: [1, 2, 2, 2],
  resBlocks: 1,
};

const specs = (c: WanConfig) =>
  listWeights((w) => {
    encodeWan(input('x', [1, 3, 5, 8, 8]), c, w);
    return decodeWan(input('z', [1, c.latentChannels, 2, 1, 1]), c, w);
  });

function randomValues(shape: readonly number[], seed: number, scale = 1): NdArray & { data: Float32Array } {
  const random = randomStream(seed, 'wan');
  const size = shape.reduce((n, d) => n * d, 1);
  return f32(
    shape,
    Float32Array.from({ length: size }, () => random.normal() * scale),
  );
}

/** Runs graphs one after the other; what a run keeps is fed to the next, zeros where nothing was kept. */
async function runParts(
  c: WanConfig,
  parts: readonly { readonly value: NdArray; readonly part: 'whole' | 'first' | 'next' }[],
  net: typeof encodeWan,
): Promise<Float32Array[]> {
  await using runtime = openRuntime({ threads: 1 });
  const weights = new Map(
    specs(c).map(({ key, shape }, i) => [key, randomValues(shape, i, shape.length > 1 ? 0.4 : 0.1)]),
  );
  for (const { key, shape } of specs(c))
    if (key.endsWith('gamma'))
      weights.set(
        key,
        f32(
          shape,
          weights.get(key)!.data.map((v) => 1 + v),
        ),
      );
  const results: Float32Array[] = [];
  let state: Record<string, NdArray> = {};
  for (const { value, part } of parts) {
    const memory = wanMemory(part);
    const y = net(input('x', value.shape), c, namedWeights, memory);
    const graph = compile(
      { y, ...memory.kept },
      { weights: (key) => ({ kind: 'value', value: weights.get(key)! }), name: `wan ${part}` },
    );
    const session = await runtime.load(graph);
    const feeds = Object.fromEntries(
      graph.inputs.map(({ name, shape }) => [name, name === 'x' ? value : (state[name] ?? f32(shape))]),
    );
    const { y: made, ...kept } = await session.run(feeds);
    state = Object.fromEntries(Object.entries(kept).map(([name, a]) => [wanPastOf(name), a as NdArray]));
    results.push(made!.data as Float32Array);
    await session.dispose();
  }
  return results;
}

/** Frames from…to of [1, C, T, H, W]. */
function cut(
  { shape, data }: { shape: readonly number[]; data: Float32Array },
  from: number,
  to: number,
): NdArray & { data: Float32Array } {
  const [, c, t, h, w] = shape as [number, number, number, number, number];
  const out = f32([1, c, to - from, h, w]);
  for (let ch = 0; ch < c; ch++) {
    out.data.set(data.subarray((ch * t + from) * h * w, (ch * t + to) * h * w), ch * (to - from) * h * w);
  }
  return out;
}

const distance = (a: Float32Array, b: Float32Array): number => Math.max(...a.map((v, i) => Math.abs(v - b[i]!)));

describe('the Wan autoencoder', () => {
  it('has the keys, shapes and sizes of the published file', () => {
    const all = new Map(specs(WAN_2_1).map(({ key, shape }) => [key, shape]));
    const count = [...all.values()].reduce((n, shape) => n + shape.reduce((a, b) => a * b, 1), 0);
    expect(count).toBe(126_892_531);
    expect(all.get('encoder.conv_in.weight')).toEqual([96, 3, 3, 3, 3]);
    expect(all.get('encoder.down_blocks.2.resample.1.weight')).toEqual([96, 96, 3, 3]);
    expect(all.get('encoder.down_blocks.5.time_conv.weight')).toEqual([192, 192, 3, 1, 1]);
    expect(all.get('encoder.down_blocks.10.conv2.weight')).toEqual([384, 384, 3, 3, 3]);
    expect(all.get('encoder.mid_block.attentions.0.to_qkv.weight')).toEqual([1152, 384, 1, 1]);
    expect(all.get('decoder.up_blocks.0.upsamplers.0.time_conv.weight')).toEqual([768, 384, 3, 1, 1]);
    expect(all.get('decoder.up_blocks.1.resnets.0.conv_shortcut.weight')).toEqual([384, 192, 1, 1, 1]);
    expect(all.get('decoder.up_blocks.3.resnets.2.norm2.gamma')).toEqual([96, 1, 1, 1]);
    expect(all.get('quant_conv.weight')).toEqual([32, 32, 1, 1, 1]);
  });

  it('encodes and decodes group by group as it does the whole clip', async () => {
    const video = randomValues([1, 3, 13, 16, 8], 99);
    const [whole] = await runParts(TINY, [{ value: video, part: 'whole' }], encodeWan);
    const groups = await runParts(
      TINY,
      [
        { value: cut(video, 0, 1), part: 'first' },
        { value: cut(video, 1, 5), part: 'next' },
        { value: cut(video, 5, 9), part: 'next' },
        { value: cut(video, 9, 13), part: 'next' },
      ],
      encodeWan,
    );
    const latent = { shape: [1, 6, 4, 2, 1], data: whole! };
    for (const [i, group] of groups.entries()) {
      expect(group).toHaveLength(12);
      expect(distance(cut(latent, i, i + 1).data, group)).toBeLessThan(1e-5);
    }

    const z = randomValues([1, 3, 3, 2, 1], 98);
    const [pixels] = await runParts(TINY, [{ value: z, part: 'whole' }], decodeWan);
    const made = await runParts(
      TINY,
      [0, 1, 2].map((i) => ({ value: cut(z, i, i + 1), part: i === 0 ? ('first' as const) : ('next' as const) })),
      decodeWan,
    );
    const clip = { shape: [1, 3, 9, 16, 8], data: pixels! };
    expect(distance(cut(clip, 0, 1).data, made[0]!)).toBeLessThan(1e-5);
    expect(distance(cut(clip, 1, 5).data, made[1]!)).toBeLessThan(1e-5);
    expect(distance(cut(clip, 5, 9).data, made[2]!)).toBeLessThan(1e-5);
  }, 60_000);

  it('is causal: later frames change nothing before them', async () => {
    const video = randomValues([1, 3, 9, 8, 8], 7);
    const changed = f32(video.shape, video.data.slice());
    for (let ch = 0; ch < 3; ch++) changed.data.fill(2, (ch * 9 + 5) * 64, (ch * 9 + 9) * 64);
    const [a] = await runParts(TINY, [{ value: video, part: 'whole' }], encodeWan);
    const [b] = await runParts(TINY, [{ value: changed, part: 'whole' }], encodeWan);
    const frames = (data: Float32Array, i: number): Float32Array =>
      cut({ shape: [1, 6, 3, 1, 1], data }, i, i + 1).data;
    expect(distance(frames(a!, 0), frames(b!, 0))).toBe(0);
    expect(distance(frames(a!, 1), frames(b!, 1))).toBe(0);
    expect(distance(frames(a!, 2), frames(b!, 2))).toBeGreaterThan(0.01);
  }, 60_000);

  it('reads and writes its public options, and refuses other networks of that class', () => {
    expect(wanConfig({})).toEqual(WAN_2_1);
    expect(wanConfig(wanOptions(TINY, WAN_2_1_LATENTS))).toEqual(TINY);
    expect(() => wanConfig({ is_residual: true })).toThrow(/is_residual.*true.*need false/);
    expect(() => wanConfig({ temperal_downsample: [true] })).toThrow(/temperal_downsample.*need 3 times/);
  });
});
