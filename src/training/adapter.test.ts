// Adapters: written by a training, merged into a folder of this package and into public layouts, and taken out again.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DType, f32, f32ToHalf, type NdArray, randomStream, toF32 } from '../base/index.ts';
import { openSafetensors, writeSafetensors } from '../formats/index.ts';
import { openModelFolder, sha256OfFile } from '../hub/index.ts';
import { type MergeEvent, mergeAdapter, readAdapter, writeAdapter } from './adapter.ts';
import { weightPlan } from './tuning.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-adapter-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const numbers = (label: string, n: number): Float32Array => {
  const random = randomStream(1, label);
  return Float32Array.from({ length: n }, () => random.normal());
};

function array(dtype: DType, shape: readonly number[], values: Float32Array): NdArray {
  if (dtype === 'f32') return f32(shape, values);
  if (dtype === 'f16') return { dtype, shape, data: f32ToHalf(values) };
  return { dtype, shape, data: Uint16Array.from(new Uint32Array(values.slice().buffer), (b) => b >>> 16) };
}

/** W + factor·B·A by the definition. */
function expected(w: Float32Array, b: Float32Array, a: Float32Array, rank: number, columns: number, factor: number) {
  return w.map((v, i) => {
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += b[Math.floor(i / columns) * rank + k]! * a[k * columns + (i % columns)]!;
    return v + factor * sum;
  });
}

const A = numbers('a', 2 * 6);
const B = numbers('b', 4 * 2);

function adapterFile(
  names: readonly [string, string],
  metadata: Record<string, string> = { rank: '2', alpha: '6' },
): string {
  const path = join(folder, 'adapter.safetensors');
  writeSafetensors(
    path,
    [
      [names[0], f32([2, 6], A)],
      [names[1], f32([4, 2], B)],
    ],
    metadata,
  );
  return path;
}

async function merge(...args: Parameters<typeof mergeAdapter>): Promise<MergeEvent[]> {
  const events: MergeEvent[] = [];
  for await (const event of mergeAdapter(...args)) events.push(event);
  return events;
}

describe('mergeAdapter', () => {
  it.each([
    ['f32', 1e-6],
    ['f16', 2e-3],
    ['bf16', 2e-2],
  ] as const)(
    'adds alpha/rank·B·A to a public checkpoint in %s, by the end of its name, and takes it out again',
    async (dtype, tolerance) => {
      // The attention of a public diffusion transformer has such names under `net.`.
      const name = 'net.blocks.block0.blocks.0.block.attn.to_q.0.weight';
      const w = toF32(array(dtype, [4, 6], numbers('w', 24)));
      const model = join(folder, 'model', 'transformer');
      mkdirSync(model, { recursive: true });
      writeSafetensors(
        join(model, 'model.safetensors'),
        [
          [name, array(dtype, [4, 6], w)],
          ['net.other.weight', array(dtype, [2, 2], numbers('o', 4))],
        ],
        { origin: 'somewhere' },
      );
      writeFileSync(join(folder, 'model', 'config.json'), '{"a": 1}');
      const key = 'base_model.model.blocks.block0.blocks.0.block.attn.to_q.0';
      const adapter = readAdapter(adapterFile([`${key}.lora_A.default.weight`, `${key}.lora_B.default.weight`]));
      expect(adapter.alpha).toBe(6);
      const events = await merge(join(folder, 'model'), adapter, join(folder, 'merged'));
      expect(events.at(-1)).toMatchObject({ type: 'completed', merged: 1 });

      using merged = openSafetensors(join(folder, 'merged', 'transformer', 'model.safetensors'));
      const want = expected(w, B, A, 2, 6, 3);
      const got = toF32(merged.read(name));
      for (const [i, v] of want.entries())
        expect(Math.abs(got[i]! - v)).toBeLessThanOrEqual(tolerance * (1 + Math.abs(v)));
      expect(merged.read(name).dtype).toBe(dtype);
      expect(merged.metadata.get('origin')).toBe('somewhere');
      using plain = openSafetensors(join(model, 'model.safetensors'));
      expect(merged.readBytes('net.other.weight')).toEqual(plain.readBytes('net.other.weight'));
      expect(readFileSync(join(folder, 'merged', 'config.json'), 'utf8')).toBe('{"a": 1}');

      await merge(join(folder, 'merged'), adapter, join(folder, 'back'), { sign: -1 });
      using back = openSafetensors(join(folder, 'back', 'transformer', 'model.safetensors'));
      const again = toF32(back.read(name));
      for (const [i, v] of w.entries())
        expect(Math.abs(again[i]! - v)).toBeLessThanOrEqual(2 * tolerance * (1 + Math.abs(want[i]!)));
    },
  );

  it('scales every addition by its own rank', async () => {
    const path = join(folder, 'ranks.safetensors');
    const ones = (n: number): Float32Array => new Float32Array(n).fill(1);
    writeSafetensors(
      path,
      [1, 4].flatMap((rank) => [
        [`r${rank}.lora_A.weight`, f32([rank, 6], ones(6 * rank))] as const,
        [`r${rank}.lora_B.weight`, f32([5, rank], ones(5 * rank))] as const,
      ]),
      { alpha: '8' },
    );
    mkdirSync(join(folder, 'model'));
    writeSafetensors(
      join(folder, 'model', 'model.safetensors'),
      [1, 4].map((rank) => [`r${rank}.weight`, f32([5, 6])] as const),
    );
    await merge(join(folder, 'model'), readAdapter(path), join(folder, 'merged'));
    using merged = openSafetensors(join(folder, 'merged', 'model.safetensors'));
    // (alpha/rank)·rank ones = alpha, whatever the rank.
    for (const rank of [1, 4]) expect(merged.read(`r${rank}.weight`).data).toEqual(ones(30).fill(8));
  });

  it('keeps a model folder of this package sound: checksums follow, old scores go', async () => {
    const model = join(folder, 'model');
    mkdirSync(model);
    const file = join(model, 'model.safetensors');
    writeSafetensors(file, [
      ['blocks.0.qkv', f32([4, 6], numbers('w', 24))],
      ['text.blocks.0.qkv', f32([4, 6], numbers('t', 24))],
    ]);
    const files = { 'model.safetensors': { sizeBytes: readFileSync(file).length, sha256: sha256OfFile(file) } };
    const record = { version: 1, kind: 'toy', name: 'toy', parameters: 48, config: {}, scores: { psnr: 30 }, files };
    writeFileSync(join(model, 'model.json'), JSON.stringify(record));

    const specs = [{ key: 'blocks.0.qkv', shape: [4, 6], init: { kind: 'zeros' } as const }];
    const plan = weightPlan(specs, { lora: { rank: 2, alpha: 6, targets: ['*'] } }, new Set(['blocks.0.qkv']));
    const path = join(folder, 'own.safetensors');
    writeAdapter(
      path,
      plan,
      new Map([
        ['blocks.0.qkv.lora_A.weight', A],
        ['blocks.0.qkv.lora_B.weight', B],
      ]),
      'toy',
    );
    await merge(model, readAdapter(path), join(folder, 'merged'));
    const merged = openModelFolder(join(folder, 'merged'), { verify: 'full' });
    expect(merged.record.scores).toBeNull();
    using weights = openSafetensors(join(merged.dir, 'model.safetensors'));
    expect(toF32(weights.read('text.blocks.0.qkv'))).toEqual(numbers('t', 24));
    expect(toF32(weights.read('blocks.0.qkv'))).not.toEqual(numbers('w', 24));
  });

  it('refuses what does not fit, and leaves nothing behind', async () => {
    const model = join(folder, 'model');
    mkdirSync(model);
    writeSafetensors(join(model, 'model.safetensors'), [['qkv', f32([6, 4], numbers('w', 24))]]);
    const target = join(folder, 'merged');
    const of = (key: string) => readAdapter(adapterFile([`${key}.lora_A.weight`, `${key}.lora_B.weight`]));
    await expect(merge(model, of('other'), target)).rejects.toThrow('no weight of this name');
    await expect(merge(model, of('qkv'), target)).rejects.toThrow('qkv is 4×6, qkv is [6,4]');
    await expect(merge(model, of('qkv'), model)).rejects.toThrow('need a new folder');
    await expect(merge(join(folder, 'nowhere'), of('qkv'), target)).rejects.toThrow('a model folder');
    expect(existsSync(target) || existsSync(`${target}.partial`)).toBe(false);
    expect(() => readAdapter(adapterFile(['x.lora_A.weight', 'y.lora_B.weight']))).toThrow(
      'only one of its two factors',
    );
    expect(() => readAdapter(adapterFile(['q.lora_A.weight', 'q.lora_B.weight'], {}))).toThrow('--alpha');
    expect(readAdapter(adapterFile(['q.lora_A.weight', 'q.lora_B.weight'], {}), 4).alpha).toBe(4);
    writeFileSync(join(folder, 'adapter_config.json'), '{"r": 2, "lora_alpha": 10}');
    expect(readAdapter(adapterFile(['q.lora_A.weight', 'q.lora_B.weight'], {})).alpha).toBe(10);
    for (const [key, value] of Object.entries({ use_rslora: true, use_dora: true, alpha_pattern: { q: 4 } })) {
      writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify({ lora_alpha: 10, [key]: value }));
      expect(() => readAdapter(adapterFile(['q.lora_A.weight', 'q.lora_B.weight'], {}))).toThrow(key);
    }
    writeFileSync(join(folder, 'adapter_config.json'), '{');
    expect(() => readAdapter(adapterFile(['q.lora_A.weight', 'q.lora_B.weight'], {}))).toThrow('not JSON');
  });
});
