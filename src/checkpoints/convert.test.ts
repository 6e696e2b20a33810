// Every layout in, every layout out, and the values stay what they were.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parityCase, renamed, saveSafetensors, saveTorch } from '../../test/fixtures/checkpoints.ts';
import { f32, type NdArray } from '../base/index.ts';
import { openTensors, type TensorSource } from '../formats/index.ts';
import { openModelFolder } from '../hub/index.ts';
import { type ConvertOptions, convertCheckpoint, openCheckpoint, type TargetLayout } from './index.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-convert-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
let n = 0;
const fresh = (name = 'x'): string => join(dir, `${n++}-${name}`);
const folder = (name = 'x'): string => {
  const path = fresh(name);
  mkdirSync(path);
  return path;
};

async function convert(source: string, layout: TargetLayout, options: Partial<ConvertOptions> = {}): Promise<string> {
  const target = fresh(layout);
  for await (const _ of convertCheckpoint(source, target, { layout, ...options }));
  return target;
}

/** Values of a checkpoint under the keys of its network. */
function valuesOf(path: string, options = {}): Map<string, string> {
  using checkpoint = openCheckpoint(path, options);
  expect(checkpoint.misfit).toEqual({ missing: [], extra: [], wrong: [] });
  const rows = [...checkpoint.tensors].map(([key, t]): [string, string] => [
    key,
    `${t.dtype} ${t.shape} ${createHash('sha1').update(t.readBytes()).digest('hex')}`,
  ]);
  return new Map(rows.sort(([a], [b]) => (a < b ? -1 : 1)));
}

test.each([
  ['cv_4x8x8_patch4_two_level', 'cosmos-tokenizer', ['orrery', 'diffusers', 'original']],
  ['dit_blockorder', 'general-dit', ['orrery', 'original']],
  ['dd_net_small', 'general-dit', ['orrery', 'original']],
  ['train_v2w', 'general-dit', ['orrery', 'diffusers', 'original']],
  ['checkpoint_layouts', 'autoregressive', ['orrery', 'original']],
] as const)('%s: around all layouts and back, bit for bit', async (name, family, layouts) => {
  const path = saveTorch(`${fresh(name)}.pt`, parityCase(name).weights);
  using first = openCheckpoint(path);
  expect([first.network.family, first.layout]).toEqual([family, 'original']);
  const values = valuesOf(path);
  expect(values.size).toBeGreaterThan(15);
  let from = path;
  for (const layout of layouts) {
    from = await convert(from, layout);
    expect(valuesOf(from), layout).toEqual(values);
  }
  expect(readdirSync(dir).filter((file) => file.includes('.partial'))).toEqual([]);
});

test('the record of a converted model is checked like any other', async () => {
  const path = saveTorch(`${fresh()}.pt`, parityCase('cv_4x8x8_patch4_two_level').weights);
  const target = await convert(path, 'orrery', { name: 'tiny-cv', licence: 'open-model-licence' });
  const { record } = openModelFolder(target, { verify: 'full' });
  expect(record).toMatchObject({
    kind: 'cosmos-tokenizer',
    name: 'tiny-cv',
    licence: 'open-model-licence',
    config: { kind: 'CV', spatialCompression: 8, temporalCompression: 4 },
  });
  expect(readFileSync(join(target, 'README.md'), 'utf8')).toContain('Licence of the weights: open-model-licence');
});

test('latent statistics travel between mean_std.pt, config.json and model.json', async () => {
  const at = folder();
  saveTorch(join(at, 'model.pt'), parityCase('cv_4x8x8_patch4_two_level').weights);
  const numbers = (from: number): NdArray =>
    f32(
      [256],
      Float32Array.from({ length: 256 }, (_, i) => from + i / 512),
    );
  saveTorch(
    join(at, 'mean_std.pt'),
    [
      ['0', numbers(-0.25)],
      ['1', numbers(0.5)],
    ],
    { asTuple: true },
  );
  const want = {
    channels: 16,
    frames: 16,
    mean: Array.from(numbers(-0.25).data as Float32Array),
    std: Array.from(numbers(0.5).data as Float32Array),
  };
  let from = at;
  for (const layout of ['orrery', 'diffusers', 'original'] as const) {
    using checkpoint = openCheckpoint(from);
    expect(checkpoint.latents).toEqual(want);
    from = await convert(from, layout);
  }
  using last = openCheckpoint(from);
  expect(last.latents).toEqual(want);
});

test('TorchScript halves make one tokenizer; buffers are left out', async () => {
  const at = folder('jit');
  for (const half of ['encoder', 'decoder']) {
    writeFileSync(
      join(at, `${half}.jit`),
      readFileSync(join(import.meta.dirname, `../../test/fixtures/parity/jit_cv_8x8x8.${half}.jit`)),
    );
  }
  using checkpoint = openCheckpoint(at);
  expect(checkpoint.network.config).toMatchObject({
    kind: 'CV',
    channels: 8,
    channelsMult: [1, 2, 2],
    spatialCompression: 8,
    temporalCompression: 8,
  });
  expect(checkpoint.ignored.length).toBe(5);
  const target = await convert(at, 'diffusers');
  expect(JSON.parse(readFileSync(join(target, 'config.json'), 'utf8'))).toMatchObject({
    encoder_block_out_channels: [8, 8, 16, 16],
    decode_block_out_channels: [8, 16, 16, 16],
  });
  expect(valuesOf(target)).toEqual(valuesOf(at));
});

test('tokenizers of the first release keep unused convolutions: the name tells the compression', () => {
  const { weights } = parityCase('cv_4x8x8_patch4_two_level');
  const unused = (key: string, shape: number[]): [string, NdArray] => [
    key,
    f32(shape, new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.5)),
  ];
  const old = new Map([
    ...weights,
    unused('encoder.down.0.downsample.conv2.conv3d.weight', [16, 16, 3, 1, 1]),
    unused('encoder.down.0.downsample.conv2.conv3d.bias', [16]),
    unused('decoder.up.1.upsample.conv1.conv3d.weight', [32, 32, 3, 1, 1]),
    unused('decoder.up.1.upsample.conv1.conv3d.bias', [32]),
  ]);
  const at = folder('Cosmos-0.1-Tokenizer-CV4x8x8');
  saveTorch(join(at, 'autoencoder.pt'), old);
  using checkpoint = openCheckpoint(at);
  expect(checkpoint.network.config).toMatchObject({ spatialCompression: 8, temporalCompression: 4 });
  expect([checkpoint.misfit.extra.length, checkpoint.ignored.length]).toEqual([0, 4]);
  expect(() => openCheckpoint(saveTorch(join(folder('other'), 'x.pt'), old))).toThrow(
    /the compression cannot be read off its tensors.*folder named after the model/,
  );
});

test('the average of post-trained weights is preferred; training state is left out', () => {
  const { weights } = parityCase('train_v2w');
  const nets = [...weights].filter(([key]) => key.startsWith('net.'));
  const doubled = (a: NdArray): NdArray =>
    f32(
      a.shape,
      (a.data as Float32Array).map((v) => 2 * v),
    );
  const path = saveTorch(`${fresh()}.pt`, [
    ...nets.map(([key, a]): [string, NdArray] => [`model.${key}`, a]),
    ...nets.map(([key, a]): [string, NdArray] => [`ema.${key.replaceAll('.', '-')}`, doubled(a)]),
    ['optimizer.state.0.exp_avg', f32([1], [1])],
  ]);
  const key = 'x_embedder.proj.1.weight';
  const first = (options = {}): number => {
    using checkpoint = openCheckpoint(path, options);
    expect(checkpoint.misfit).toEqual({ missing: [], extra: [], wrong: [] });
    return new Float32Array(checkpoint.tensors.get(key)!.readBytes().slice().buffer)[0]!;
  };
  const plain = (weights.get(`net.${key}`)!.data as Float32Array)[0]!;
  expect(first()).toBe(2 * plain);
  expect(first({ weights: 'last' })).toBe(plain);
});

test('Predict2 keys are those of the same network', async () => {
  const { weights } = parityCase('train_v2w');
  const path = saveTorch(
    `${fresh()}.pt`,
    [...weights].filter(([key]) => !key.includes('extra_pos')),
  );
  const diffusers = await convert(path, 'diffusers');
  const original = await convert(diffusers, 'original');
  using file = openTensors(join(original, 'model.pt'));
  expect(file.tensors.has('net.blocks.0.self_attn.q_proj.weight')).toBe(true);
  expect(file.tensors.has('net.blocks.0.adaln_modulation_mlp.2.weight')).toBe(true);
  expect(file.tensors.has('net.t_embedding_norm.weight')).toBe(true);
  using checkpoint = openCheckpoint(original);
  expect(checkpoint.layout).toBe('predict2');
  expect(valuesOf(original)).toEqual(valuesOf(path));
});

test('layouts of the autoregressive family: Transformer Engine, pieces of two ranks, NeMo, fused projections', async () => {
  const { weights, arrays } = parityCase('checkpoint_layouts');
  const plain = valuesOf(saveSafetensors(`${fresh()}.safetensors`, weights));
  const part = (prefix: string): Map<string, NdArray> =>
    new Map([...arrays].filter(([key]) => key.startsWith(prefix)).map(([key, a]) => [key.slice(prefix.length), a]));
  const config = { n_heads: 4, n_kv_heads: 2 };
  expect(valuesOf(saveTorch(`${fresh()}.pt`, part('output.te.')), { config })).toEqual(plain);

  const at = folder('ranks');
  for (const rank of [0, 1]) saveTorch(join(at, `model_model_mp_${rank}.pt`), part(`output.tp${rank}of2.`));
  expect(valuesOf(at)).toEqual(plain);
  expect(valuesOf(join(at, 'model_model_mp_1.pt'))).toEqual(plain);
  expect(valuesOf(await convert(at, 'orrery'))).toEqual(plain);

  const self = (name: string): NdArray => weights.get(`model.layers.0.attention.${name}.weight`)!;
  const rows = (a: NdArray, from: number, to: number): Float32Array =>
    (a.data as Float32Array).slice(from * a.shape[1]!, to * a.shape[1]!);
  const join2 = (...parts: Float32Array[]): Float32Array => Float32Array.from(parts.flatMap((p) => [...p]));
  const base = new Map([...weights].filter(([key]) => !key.includes('cross_attention')));
  const want = valuesOf(saveSafetensors(`${fresh()}.safetensors`, base));
  const fused = new Map([...base].filter(([key]) => !/attention\.w[qkv]\./.test(key)));
  fused.set(
    'model.layers.0.attention.wqkv.weight',
    f32([128, 48], join2(...['wq', 'wk', 'wv'].map((name) => self(name).data as Float32Array))),
  );
  expect(valuesOf(saveTorch(`${fresh()}.pt`, fused), { config })).toEqual(want);

  const nemoNames: Record<string, string> = {
    'model.tok_embeddings.weight': 'embedding.word_embeddings.weight',
    'model.norm.weight': 'decoder.final_layernorm.weight',
    'model.output.weight': 'output_layer.weight',
    attention_norm: 'self_attention.linear_qkv.layer_norm',
    'attention.wo': 'self_attention.linear_proj',
    'attention.q_norm': 'self_attention.q_layernorm',
    'attention.k_norm': 'self_attention.k_layernorm',
    ffn_norm: 'mlp.linear_fc1.layer_norm',
    'feed_forward.w2': 'mlp.linear_fc2',
  };
  const nemo = new Map<string, NdArray>();
  for (const [key, a] of base) {
    const inner = /^model\.layers\.0\.(.+)\.weight$/.exec(key)?.[1];
    if (inner === undefined) nemo.set(nemoNames[key]!, a);
    else if (nemoNames[inner] !== undefined)
      nemo.set(
        `decoder.layers.0.${nemoNames[inner]}${nemoNames[inner]!.endsWith('layer_norm') ? '_weight' : '.weight'}`,
        a,
      );
  }
  const [q, k, v] = ['wq', 'wk', 'wv'].map(self) as [NdArray, NdArray, NdArray];
  const group = (g: number): Float32Array =>
    join2(rows(q, g * 32, g * 32 + 32), rows(k, g * 16, g * 16 + 16), rows(v, g * 16, g * 16 + 16));
  nemo.set('decoder.layers.0.self_attention.linear_qkv.weight', f32([128, 48], join2(group(0), group(1))));
  const [w1, w3] = ['w1', 'w3'].map(
    (name) => base.get(`model.layers.0.feed_forward.${name}.weight`)!.data as Float32Array,
  ) as [Float32Array, Float32Array];
  nemo.set('decoder.layers.0.mlp.linear_fc1.weight', f32([80, 48], join2(w1, w3)));
  expect(valuesOf(saveTorch(`${fresh()}.pt`, nemo), { config })).toEqual(want);
});

test('a large model is written in parts with an index', async () => {
  const path = saveTorch(`${fresh()}.pt`, parityCase('train_v2w').weights);
  const target = await convert(path, 'diffusers', { shardBytes: 100_000 });
  const files = readdirSync(target);
  expect(files).toContain('diffusion_pytorch_model.safetensors.index.json');
  expect(files.filter((file) => /-of-\d{5}\.safetensors$/.test(file)).length).toBeGreaterThan(1);
  expect(valuesOf(target)).toEqual(valuesOf(path));
});

test('types: half and bfloat16 and back', async () => {
  const path = saveTorch(`${fresh()}.pt`, parityCase('train_v2w').weights);
  const read = (at: string): TensorSource => openTensors(join(at, 'model.safetensors'));
  using half = read(await convert(path, 'orrery', { dtype: 'f16' }));
  using brain = read(await convert(path, 'orrery', { dtype: 'bf16' }));
  expect([...half.tensors.values()].every(({ dtype }) => dtype === 'f16')).toBe(true);
  const want = parityCase('train_v2w').weights.get('net.x_embedder.proj.1.weight')!.data as Float32Array;
  const words = new Uint16Array(brain.readBytes('x_embedder.proj.1.weight').slice().buffer);
  const near = new Float32Array(Uint32Array.from(words, (w) => w << 16).buffer);
  expect(Math.max(...near.map((v, i) => Math.abs(v - want[i]!) / Math.abs(want[i]!)))).toBeLessThan(2 ** -8);
});

test('nothing is overwritten, and an interrupted conversion leaves nothing', async () => {
  const path = saveTorch(`${fresh()}.pt`, parityCase('train_v2w').weights);
  const full = folder();
  writeFileSync(join(full, 'mine.txt'), 'mine');
  await expect(convertCheckpoint(path, full, { layout: 'orrery' }).next()).rejects.toThrow(
    /need a folder that does not exist yet or is empty \(nothing is overwritten\)/,
  );
  for (const layout of ['orrery', 'diffusers', 'original'] as const) {
    const target = fresh('stopped');
    const abort = new AbortController();
    const running = (async () => {
      for await (const event of convertCheckpoint(path, target, { layout, signal: abort.signal }))
        if (event.type === 'tensor') abort.abort();
    })();
    await expect(running).rejects.toMatchObject({ code: 'canceled' });
    expect(existsSync(target)).toBe(false);
  }
  expect(readdirSync(dir).filter((file) => file.endsWith('.partial'))).toEqual([]);
});

test('other names in front are taken off', () => {
  const { weights } = parityCase('train_v2w');
  const want = valuesOf(saveTorch(`${fresh()}.pt`, weights));
  for (const wrap of ['model', 'module', 'state_dict'])
    expect(valuesOf(saveTorch(`${fresh()}.pt`, weights, { wrap }))).toEqual(want);
  expect(
    valuesOf(
      saveSafetensors(
        `${fresh()}.safetensors`,
        renamed(weights, (key) => `module.${key}`),
      ),
    ),
  ).toEqual(want);
});
