// `generate` with public folders that are damaged or do not belong together: one line that names the file, and nothing left behind.
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { exitCodeOf, f32, type NdArray, noGuardrail, OrreryError } from '../../src/base/index.ts';
import { openSafetensors, writeSafetensors } from '../../src/formats/index.ts';
import { generate } from '../../src/index.ts';
import { saveTorch } from '../fixtures/checkpoints.ts';
import {
  ditSpecs,
  randomWeights,
  TINY_CV,
  TINY_DIT,
  TINY_DV,
  tokenizerSpecs,
  writePredict1,
  writeTokenizer,
} from '../fixtures/tiny-cosmos.ts';

let folder: string;
let serial = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-bad-models-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const COMMON = 'Cosmos-Tokenize1-CV8x8x8-720p';
const TO_Q = 'blocks.block1.blocks.0.block.attn.to_q.0.weight';
const root = (): string => join(folder, `set${serial++}`);

/** A model as published with one of its weights changed. */
function changed(key: string, change: (data: Float32Array) => void): string {
  const at = root();
  const model = writePredict1(at, TINY_DIT);
  const weights = randomWeights(ditSpecs(TINY_DIT));
  change(weights.find(([name]) => name === key)![1].data);
  saveTorch(
    join(model, 'model.pt'),
    weights.map(([name, value]): [string, NdArray] => [`net.${name}`, value]),
  );
  return model;
}

/** A model as published with something done to its folders. */
function arranged(change: (at: string, model: string) => void): string {
  const at = root();
  const model = writePredict1(at, TINY_DIT);
  change(at, model);
  return model;
}

/** Changes a weight of the text encoder, or takes it out. */
function spoilText(at: string, key: string, change?: (data: Float32Array) => void): void {
  const path = join(at, 'google-t5/t5-11b/model.safetensors');
  const tensors: [string, NdArray][] = [];
  {
    using file = openSafetensors(path);
    for (const name of file.tensors.keys()) tensors.push([name, file.read(name)]);
  }
  change?.(tensors.find(([name]) => name === key)![1].data as Float32Array);
  writeSafetensors(
    path,
    tensors.filter(([name]) => change !== undefined || name !== key),
  );
}

it.each<[string, () => string, readonly RegExp[]]>([
  [
    'a tensor of zeros',
    () => changed(TO_Q, (d) => d.fill(0)),
    [/tensor \S+to_q\.0\.weight \[32,32\] holds only zeros, need trained values/, /orrery models verify/],
  ],
  [
    'a weight that is not a number',
    () =>
      changed(TO_Q, (d) => {
        d[7] = Number.NaN;
      }),
    [
      /the diffusion transformer gave NaN at place \d+/,
      /model\.(pt|safetensors): tensor \S*to_q\.0\.weight has 1 NaN values, the first at place 7/,
    ],
  ],
  [
    'a text encoder with a weight that is not a number',
    () => arranged((at) => spoilText(at, 'encoder.final_layer_norm.weight', (d) => d.fill(Number.NaN, 0, 1))),
    [/the text encoder gave NaN/, /model\.safetensors: tensor encoder\.final_layer_norm\.weight has 1 NaN values/],
  ],
  [
    'a text encoder without one of its weights',
    () => arranged((at) => spoilText(at, 'encoder.final_layer_norm.weight')),
    [/1 keys do not fit the T5 encoder of config\.json: 1 missing: encoder\.final_layer_norm\.weight/],
  ],
  [
    'a tokenizer with a weight that is not a number',
    () =>
      arranged((at) => {
        const weights = randomWeights(tokenizerSpecs(TINY_CV));
        const [name, { data }] = weights.find(([key]) => /^decoder\..*conv_out.*weight$/.test(key))!;
        expect(name).toContain('decoder');
        data[3] = Number.NaN;
        saveTorch(join(at, COMMON, 'model.pt'), weights);
      }),
    [
      /the tokenizer gave NaN/,
      /model\.(pt|safetensors): tensor decoder\.\S+weight has 1 NaN values, the first at place 3/,
    ],
  ],
  [
    'a tokenizer without latent statistics',
    () => arranged((at) => rmSync(join(at, COMMON, 'mean_std.pt'))),
    [/no latent statistics \(mean_std\.pt/, /orrery models get nvidia\/Cosmos-Tokenize1-CV8x8x8-720p/],
  ],
  [
    'latent statistics of another tokenizer',
    () =>
      arranged((at) => {
        const values = f32([20], new Float32Array(20).fill(1));
        const tensors: [string, NdArray][] = [
          ['0', f32([18], new Float32Array(18).fill(1))],
          ['1', values],
        ];
        saveTorch(join(at, COMMON, 'mean_std.pt'), tensors, { asTuple: true });
      }),
    [/latent statistics: mean has 18 values and std 20/, /belong to another tokenizer/],
  ],
  [
    'a tokenizer of other channels',
    () => arranged((at) => writeTokenizer(join(at, COMMON), { ...TINY_CV, zChannels: 8, latentChannels: 8 })),
    [/makes 8 latent channels, Cosmos-Predict1-7B-Text2World needs 4; it is a model for another tokenizer/],
  ],
  [
    'a discrete tokenizer for a diffusion model',
    () =>
      arranged((at) => {
        rmSync(join(at, COMMON, 'mean_std.pt'));
        writeTokenizer(join(at, COMMON), TINY_DV);
      }),
    [/is a discrete tokenizer \(DV\), Cosmos-Predict1-7B-Text2World needs a continuous one/],
  ],
  [
    'a tokenizer of another compression',
    () =>
      arranged((at) => {
        writeTokenizer(join(at, COMMON), { ...TINY_CV, spatialCompression: 16 });
        writeFileSync(
          join(at, COMMON, 'config.json'),
          JSON.stringify({
            kind: 'CV',
            channels: 8,
            channels_mult: [1, 2, 2],
            num_res_blocks: 1,
            z_channels: 4,
            latent_channels: 4,
            spatial_compression: 16,
          }),
        );
      }),
    [/is a tokenizer CV8x16x16, Cosmos-Predict1-7B-Text2World needs CV8x8x8/],
  ],
  [
    'a LoRA in place of the model',
    () =>
      arranged((_, model) =>
        saveTorch(join(model, 'model.pt'), [
          ['net.blocks.0.attn.lora_A.weight', f32([1], [1])],
          ['net.blocks.0.attn.lora_B.weight', f32([1], [1])],
        ]),
      ),
    [/is an adapter: 2 of its keys are like/, /merge it into the base model/],
  ],
  [
    'an index whose shards are not all there',
    () =>
      arranged((_, model) => {
        rmSync(join(model, 'model.pt'));
        const map = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' };
        writeFileSync(join(model, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
      }),
    [/2 of its 2 files are missing/],
  ],
  [
    'a record of a later version',
    () =>
      arranged((_, model) =>
        writeFileSync(
          join(model, 'model.json'),
          JSON.stringify({ version: 9, kind: 'general-dit', name: 'x', parameters: 1, config: {}, files: {} }),
        ),
      ),
    [/model\.json: version is 9, this release reads version 1; update orrery/],
  ],
])('generate refuses %s', async (_name, make, says) => {
  const out = join(folder, 'runs');
  const request = { prompt: 'a ball', model: make(), height: 32, width: 48, frames: 9, steps: 2, guidance: 1 };
  let error: unknown;
  try {
    for await (const _ of generate(request, { guardrail: noGuardrail(), out, threads: 1 }));
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(OrreryError);
  for (const pattern of says) expect((error as Error).message).toMatch(pattern);
  expect((error as Error).message).not.toContain('\n');
  expect(exitCodeOf(error)).toBe(4);
  expect(existsSync(out) ? readdirSync(out) : []).toEqual([]);
});
