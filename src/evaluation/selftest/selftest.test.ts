// The self-test must not pass what is wrong, missing or unknown.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { f32, type NdArray } from '../../base/index.ts';
import { writeSafetensors } from '../../formats/index.ts';
import { relativeL2, type SelftestResult, selftest } from './index.ts';

const folder = mkdtempSync(join(tmpdir(), 'orrery-selftest-'));
afterAll(() => rmSync(folder, { recursive: true }));

async function check(
  tensors: Record<string, NdArray>,
  metadata: Record<string, string> = {},
): Promise<SelftestResult[]> {
  const path = join(folder, `case${readdirSync(folder).length}.safetensors`);
  writeSafetensors(path, Object.entries(tensors), metadata);
  const results: SelftestResult[] = [];
  for await (const r of selftest([path])) results.push(r);
  return results;
}

const guided = { 'input.cond': f32([2], [1, 2]), 'input.uncond': f32([2], [0, 4]) };

it('passes equal values and fails others', async () => {
  // c + 2(c − u): 1 + 2·1 = 3 and 2 − 2·2 = −2.
  const [good] = await check({ ...guided, 'output.guided_2.0': f32([2], [3, -2]) });
  expect(good).toMatchObject({ output: 'guided_2.0', status: 'pass', relL2: 0 });
  const [bad] = await check({ ...guided, 'output.guided_2.0': f32([2], [3, -2.01]) });
  expect(bad).toMatchObject({ status: 'fail' });
});

it('fails outputs that are not computed and values that are not numbers', async () => {
  const results = await check({ ...guided, 'output.other': f32([2], [3, -2]) });
  expect(results.map((r) => r.status)).toEqual(['fail']);
  const [nan] = await check({ ...guided, 'output.guided_2.0': f32([2], [Number.NaN, -2]) });
  expect(nan).toMatchObject({ status: 'fail' });
});

it('calls unknown cases unsupported', async () => {
  const results = await check({ 'input.a': f32([1], [1]), 'output.b': f32([1], [1]) });
  expect(results).toMatchObject([{ output: '*', status: 'unsupported' }]);
});

it('fails missing and left-over weights by name', async () => {
  const config = { config: '{"m": {"padding": 0}}', inputs: '{"m": "m"}' };
  const x = { 'input.m': f32([1, 1, 2, 1, 1], [1, 2]), 'output.m': f32([1, 1, 2, 1, 1], [2, 4]) };
  const weight = { 'weights.m.conv3d.weight': f32([1, 1, 1, 1, 1], [2]) };
  const bias = { 'weights.m.conv3d.bias': f32([1], [0]) };
  expect(await check({ ...x, ...weight, ...bias }, config)).toMatchObject([{ status: 'pass' }]);
  const [missing] = await check({ ...x, ...weight }, config);
  expect(missing?.reason).toContain('m.conv3d.bias is missing');
  const [extra] = await check({ ...x, ...weight, ...bias, 'weights.m.more': f32([1], [0]) }, config);
  expect(extra?.reason).toContain('m.more is not part of the network');
});

it('measures relative errors, and absolute ones against zero', () => {
  expect(relativeL2(f32([2], [3, 4.5]), f32([2], [3, 4]))).toBeCloseTo(0.1);
  expect(relativeL2(f32([1], [2]), f32([1], [0]))).toBe(2);
  expect(relativeL2(f32([1], [2]), f32([1, 1], [2]))).toBeNaN();
});
