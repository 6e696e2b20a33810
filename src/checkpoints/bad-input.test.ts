// Wrong models of every sort: the message names file and key, what was found, what was expected and what to do.
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { PARITY, parityCase, renamed, saveSafetensors, saveTorch } from '../../test/fixtures/checkpoints.ts';
import {
  bytesOf,
  dict,
  global,
  PROTO,
  REDUCE,
  STOP,
  str,
  tensor,
  torchZip,
  tuple,
} from '../../test/fixtures/pickler.ts';
import { exitCodeOf, f32, type NdArray, OrreryError, randomStream } from '../base/index.ts';
import { shippedModels } from '../hub/index.ts';
import { convertCheckpoint, exportOnnx, openCheckpoint, verifyModel } from './index.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-bad-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
let n = 0;
const folder = (name = 'm'): string => {
  const path = join(dir, `${n++}`, name);
  mkdirSync(path, { recursive: true });
  return path;
};

const dit = parityCase('train_v2w').weights;
const tokenizer = parityCase('cv_4x8x8_patch4_two_level').weights;
const first = 'net.blocks.block0.blocks.0.block.attn.to_q.0.weight';
const changed = (
  tensors: ReadonlyMap<string, NdArray>,
  key: string,
  value: NdArray | undefined,
): Map<string, NdArray> => {
  const copy = new Map(tensors);
  if (value === undefined) copy.delete(key);
  else copy.set(key, value);
  return copy;
};
const withValues = (a: NdArray, change: (data: Float32Array) => void): NdArray => {
  const data = Float32Array.from(a.data as Float32Array);
  change(data);
  return f32(a.shape, data);
};
const torch = (tensors: Iterable<readonly [string, NdArray]>, name = 'model.pt'): string =>
  saveTorch(join(folder(), name), tensors);
const partOfSet = (): string =>
  saveSafetensors(join(folder(), 'model-00001-of-00003.safetensors'), [['a', f32([1], [1])]]);
const setWithoutFiles = (): string => {
  const at = folder();
  saveSafetensors(join(at, 'model-00001-of-00002.safetensors'), [['a', f32([1], [1])]]);
  const map = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' };
  writeFileSync(join(at, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
  return at;
};
const jitFolder = (...halves: string[]): string => {
  const at = folder();
  for (const half of halves) copyFileSync(join(PARITY, `jit_cv_8x8x8.${half}.jit`), join(at, `${half}.jit`));
  return at;
};
const statistics = (mean: readonly number[], std: readonly number[]): string => {
  const at = folder();
  saveTorch(join(at, 'model.pt'), tokenizer);
  saveTorch(
    join(at, 'mean_std.pt'),
    [
      ['0', f32([mean.length], Float32Array.from(mean))],
      ['1', f32([std.length], Float32Array.from(std))],
    ],
    { asTuple: true },
  );
  return at;
};
const ones = (count: number): number[] => Array.from({ length: count }, () => 1);
const pickleWithCode = (): string => {
  const path = join(folder(), 'model.pt');
  const attack = [global('os', 'system'), tuple(str('echo hello')), REDUCE];
  writeFileSync(
    path,
    torchZip(bytesOf(PROTO, dict([str('net.w'), tensor({ size: [1] })], [str('x'), attack]), STOP), {
      0: new Uint8Array(4),
    }),
  );
  return path;
};
const shippedCopy = (model: string, change: (record: Record<string, unknown>) => void): string => {
  const at = folder();
  for (const name of ['orrery-nano', 'orrery-tokenizer'])
    cpSync(join(shippedModels(), name), join(at, name), { recursive: true });
  const path = join(at, model, 'model.json');
  const record = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  change(record);
  writeFileSync(path, JSON.stringify(record));
  return join(at, model);
};
const config = (record: Record<string, unknown>): Record<string, unknown> => record.config as Record<string, unknown>;

type Row = readonly [name: string, make: () => string, says: readonly RegExp[]];
const WRONG: readonly Row[] = [
  ['nothing there', () => join(dir, 'none.pt'), [/none\.pt: no such file or folder/, /orrery models get/]],
  ['an empty folder', () => folder(), [/no weights in it \(it is empty\)/, /name the folder that has them/]],
  [
    'another network',
    () => torch([['conv1.weight', f32([1], [1])]]),
    [/holds no network that is known here: 1 tensors such as "conv1\.weight"/, /need a Cosmos tokenizer/],
  ],
  [
    'a pipeline',
    () => {
      const at = folder();
      mkdirSync(join(at, 'vae'));
      writeFileSync(join(at, 'model_index.json'), '{}');
      writeFileSync(join(at, 'vae/config.json'), '{}');
      return at;
    },
    [/is a pipeline of several models; name one of them: .*vae/],
  ],
  [
    'a checkpoint of a sharded trainer',
    () => {
      const at = folder();
      writeFileSync(join(at, '__0_0.distcp'), '');
      return at;
    },
    [/sharded training checkpoint \(\.distcp\)/, /export it there/],
  ],
  [
    'two models in a folder',
    () => {
      const at = folder();
      saveTorch(join(at, 'a.pt'), dit);
      saveTorch(join(at, 'b.pt'), dit);
      return at;
    },
    [/holds 2 checkpoints \(a\.pt, b\.pt\); name one of them/],
  ],
  [
    'one file of a set',
    partOfSet,
    [/is part 1 of 3 and not a whole model/, /name the folder or model\.safetensors\.index\.json/],
  ],
  [
    'a folder with half a set',
    () => join(partOfSet(), '..'),
    [/1 parts of a set without its index \(model\.safetensors\.index\.json\); fetch the index/],
  ],
  [
    'an index whose files are missing',
    setWithoutFiles,
    [/1 of its 2 files are missing: model-00002-of-00002\.safetensors; fetch them/],
  ],
  [
    'a tensor-parallel piece too few',
    () =>
      torch(
        renamed(parityCase('checkpoint_layouts').weights, (k) => k),
        'model_model_mp_1.pt',
      ),
    [/pieces 0 of 2 or more are missing \(model_model_mp_N\.pt\)/, /needs all of them/],
  ],
  ['only the encoder', () => jitFolder('encoder'), [/has encoder\.jit but no decoder\.jit, need both halves/]],
  ['only the decoder file', () => join(jitFolder('decoder'), 'decoder.jit'), [/half a tokenizer/]],
  [
    'a LoRA',
    () =>
      torch([
        ['base_model.model.blocks.0.attn.lora_A.weight', f32([1], [1])],
        ['base_model.model.blocks.0.attn.lora_B.weight', f32([1], [1])],
      ]),
    [
      /is an adapter: 2 of its keys are like base_model\.model\.blocks\.0\.attn\.lora_A\.weight, need a whole model/,
      /merge it into the base model/,
    ],
  ],
  [
    'a folder of a LoRA',
    () => {
      const at = folder();
      writeFileSync(join(at, 'adapter_config.json'), '{}');
      return at;
    },
    [/is an adapter \(adapter_config\.json\), need a whole model/],
  ],
  [
    'a pickle with code',
    pickleWithCode,
    [
      /model\.pt holds calls of "os system", need plain tensors/,
      /nothing of it was run/,
      /Take the model from its publisher/,
    ],
  ],
  [
    'a missing key',
    () => torch(changed(dit, first, undefined)),
    [
      /model\.pt: 1 keys do not fit .*: 1 missing: blocks\.block0\.blocks\.0\.block\.attn\.to_q\.0\.weight \[32,32\]/,
      /Fetch the missing files/,
    ],
  ],
  [
    'an unknown key',
    () => torch(changed(dit, 'net.extra.weight', f32([3], [1, 2, 3]))),
    [/1 unknown: extra\.weight \[3\]/, /--lenient/],
  ],
  [
    'a wrong shape',
    () => torch(changed(dit, first, f32([32, 16], new Float32Array(512).fill(1)))),
    [/1 of another shape: blocks\.block0\.blocks\.0\.block\.attn\.to_q\.0\.weight \[32,16\], need \[32,32\]/],
  ],
  [
    'NaN',
    () =>
      torch(
        changed(
          dit,
          first,
          withValues(dit.get(first)!, (d) => {
            d[7] = Number.NaN;
          }),
        ),
      ),
    [
      /tensor blocks\.block0\S+to_q\.0\.weight has 1 NaN values, the first at place 7, need finite numbers/,
      /take an earlier checkpoint/,
    ],
  ],
  [
    'infinite values',
    () =>
      torch(
        changed(
          dit,
          first,
          withValues(dit.get(first)!, (d) => {
            d[3] = -Infinity;
          }),
        ),
      ),
    [/has 1 infinite values, the first at place 3/],
  ],
  [
    'a matrix of zeros',
    () =>
      torch(
        changed(
          dit,
          first,
          withValues(dit.get(first)!, (d) => d.fill(0)),
        ),
      ),
    [/to_q\.0\.weight \[32,32\] holds only zeros, need trained values/, /--lenient when zeros are meant/],
  ],
  [
    'integers as weights',
    () => torch(changed(dit, first, { dtype: 'i32', shape: [32, 32], data: new Int32Array(1024).fill(1) })),
    [/is i32, need a float type/],
  ],
  [
    'keys of diffusers without their config',
    () =>
      saveSafetensors(join(folder(), 'w.safetensors'), [['transformer_blocks.0.attn1.to_q.weight', f32([1, 1], [1])]]),
    [/keys of diffusers but no config\.json beside it/, /name the folder transformer\/ with both/],
  ],
  [
    'a config that is not JSON',
    () => {
      const at = folder();
      saveTorch(join(at, 'model.pt'), dit);
      writeFileSync(join(at, 'config.json'), '{');
      return at;
    },
    [/config\.json is not JSON; fetch it again/],
  ],
  [
    'statistics for other channels',
    () => statistics(ones(20), ones(20)),
    [
      /mean_std\.pt: latent statistics: 20 values, need a multiple of the 16 latent channels/,
      /belong to another tokenizer/,
    ],
  ],
  ['statistics of two lengths', () => statistics(ones(256), ones(128)), [/mean has 256 values and std 128/]],
  [
    'a deviation of zero',
    () => statistics(ones(256), [...ones(255), 0]),
    [/std has 0 at place 255, need positive numbers/],
  ],
  [
    'statistics with NaN',
    () => statistics([...ones(255), Number.NaN], ones(256)),
    [/mean has NaN at place 255, need finite numbers/],
  ],
  [
    'a record of a later version',
    () =>
      shippedCopy('orrery-nano', (r) => {
        r.version = 7;
      }),
    [/model\.json: version is 7, this release reads version 1; update orrery/],
  ],
];

test.each(WRONG)('convert refuses %s', async (_name, make, says) => {
  const source = make();
  const target = join(folder(), 'out');
  let error: unknown;
  try {
    for await (const _ of convertCheckpoint(source, target, { layout: 'orrery' }));
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(OrreryError);
  for (const pattern of says) expect((error as Error).message).toMatch(pattern);
  expect((error as Error).message).not.toContain('\n');
  expect(exitCodeOf(error)).toBe(4);
  expect(existsSync(target)).toBe(false);
  expect(readdirSync(join(target, '..'))).toEqual([]);
});

test('mangled keys, shapes and types of every family end in one clean error or none', () => {
  const random = randomStream(11);
  const seeds = [dit, tokenizer, parityCase('checkpoint_layouts').weights];
  let refused = 0;
  for (let i = 0; i < 90; i++) {
    const tensors = new Map(seeds[i % seeds.length]!);
    for (let k = random.integer(1, 3); k > 0; k--) {
      const key = random.pick([...tensors.keys()]);
      const value = tensors.get(key)!;
      tensors.delete(key);
      const kind = random.integer(0, 4);
      const other = key.replace(/\d+/, String(random.pick([0, 7, 99, 999_999_999])));
      const shape =
        kind === 1
          ? [value.data.length]
          : kind === 2
            ? [...value.shape, 1]
            : kind === 3
              ? [1]
              : [...value.shape].reverse();
      if (kind > 0)
        tensors.set(
          kind === 4 ? other : key,
          f32(
            shape,
            (value.data as Float32Array).slice(
              0,
              shape.reduce((a, b) => a * b, 1),
            ),
          ),
        );
    }
    const path = saveSafetensors(join(dir, 'mangled.safetensors'), tensors);
    try {
      using checkpoint = openCheckpoint(path);
      if (checkpoint.misfit.missing.length + checkpoint.misfit.extra.length + checkpoint.misfit.wrong.length > 0)
        refused++;
    } catch (error) {
      if (!(error instanceof OrreryError) || error.code === 'internal') throw error;
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(60);
});

test.each([
  [{ n_layers: 1e9 }, 'checkpoint_layouts', /n_layers is 1000000000, need a whole number from 1 to 200/],
  [
    { model_channels: 32, num_heads: 2, num_blocks: 1e9, max_frames: 1, max_img_h: 2, max_img_w: 2 },
    'train_v2w',
    /blocks is 1000000000/,
  ],
  [
    { channels_mult: [1, 2], kind: 'CV', num_res_blocks: 1e8 },
    'cv_4x8x8_patch4_two_level',
    /blocks per level is 100000000/,
  ],
])('options that would take for ever are refused: %j', (config, name, message) => {
  expect(() => openCheckpoint(torch(parityCase(name).weights), { config })).toThrow(message);
});

test('--lenient leaves unknown keys out, but no missing ones pass', async () => {
  const convert = async (source: string): Promise<number> => {
    let dropped = -1;
    for await (const event of convertCheckpoint(source, join(folder(), 'out'), { layout: 'orrery', isLenient: true }))
      if (event.type === 'opened') dropped = event.dropped;
    return dropped;
  };
  expect(await convert(torch(changed(dit, 'net.extra.weight', f32([3], [1, 2, 3]))))).toBe(1);
  await expect(convert(torch(changed(dit, first, undefined)))).rejects.toThrow(/1 missing/);
});

const UNFIT: readonly Row[] = [
  [
    'a model for another tokenizer',
    () =>
      shippedCopy('orrery-tokenizer', (r) => {
        config(r).channels = 8;
      }).replace('orrery-tokenizer', 'orrery-nano'),
    [/orrery-tokenizer makes 8 latent channels, orrery-nano needs 16; it is a model for another tokenizer/],
  ],
  [
    'a tokenizer that is none',
    () =>
      shippedCopy('orrery-tokenizer', (r) => {
        r.kind = 'orrery-nano';
      }).replace('orrery-tokenizer', 'orrery-nano'),
    [/names orrery-tokenizer as its tokenizer, which is a orrery-nano; need a tokenizer/],
  ],
  [
    'statistics of another tokenizer',
    () =>
      shippedCopy('orrery-nano', (r) => {
        (config(r).stats as { mean: number[] }).mean.push(1);
      }),
    [/latent statistics: mean has 17 values and std 16/],
  ],
  [
    'a config that is not the weights',
    () =>
      shippedCopy('orrery-nano', (r) => {
        config(r).blocks = (config(r).blocks as number) + 1;
      }),
    [/model\.safetensors: \d+ keys do not fit the orrery-nano of model\.json: \d+ missing: blocks\.5\./],
  ],
  [
    'a config without a number',
    () =>
      shippedCopy('orrery-nano', (r) => {
        config(r).width = 'wide';
      }),
    [/config\.width is "wide", need a number from 0/],
  ],
  [
    'a record of a later version',
    () =>
      shippedCopy('orrery-nano', (r) => {
        r.version = 2;
      }),
    [/version/],
  ],
];
test.each(UNFIT)('verify refuses %s', async (_name, make, says) => {
  const run = (async () => {
    for await (const _ of verifyModel(make()));
  })();
  const error: unknown = await run.catch((e: unknown) => e);
  expect(error).toBeInstanceOf(OrreryError);
  for (const pattern of says) expect((error as Error).message).toMatch(pattern);
});

test('verify tells what it checked', async () => {
  const checks = async (path: string): Promise<string[]> => {
    const passed: string[] = [];
    for await (const event of verifyModel(path)) if (event.type === 'passed') passed.push(event.check);
    return passed;
  };
  expect(await checks(join(shippedModels(), 'orrery-nano'))).toEqual(['sums', 'keys', 'values', 'tokenizer']);
  expect(await checks(torch(dit))).toEqual(['keys', 'values']);
  expect(await checks(statistics(ones(256), ones(256)))).toEqual(['keys', 'values', 'statistics']);
});

test.each<[string, () => string, object, RegExp]>([
  [
    'frames that do not fit',
    () => join(shippedModels(), 'orrery-tokenizer'),
    { frames: 6 },
    /--frames: got 6, need 1 \+ 4k, such as 17/,
  ],
  [
    'a size that does not fit',
    () => torch(tokenizer),
    { width: 20, height: 16 },
    /--size: got "?20x16"?, need multiples of 8/,
  ],
  ['frames of a Cosmos tokenizer', () => torch(tokenizer), { frames: 7 }, /--frames: got 7, need 1 \+ 4k, such as 9/],
  [
    'frames of an autoregressive model',
    () => torch(parityCase('checkpoint_layouts').weights),
    { frames: 5 },
    /frames: got 5, need 1 or 9/,
  ],
])('export refuses %s', async (_name, make, size, message) => {
  const target = join(folder(), 'out');
  await expect(exportOnnx(make(), target, size).next()).rejects.toThrow(message);
  expect(existsSync(target)).toBe(false);
});
