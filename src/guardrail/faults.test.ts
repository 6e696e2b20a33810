// Faults through the front door: each one blocks with `error` and says what to mend, and the process goes on checking.
import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { GuardDecision, GuardFrames } from '../base/index.ts';
import { shippedModels } from '../hub/index.ts';
import { openGuardrail } from './guard.ts';
import { type GuardPolicy, parsePolicy } from './policy.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-faults-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const optional = { content: 'tests look at no content', faces: 'tests show no face' };
const policy = (more: object): GuardPolicy => parsePolicy({ name: 'test', optional, ...more });

async function check(given: GuardPolicy, text = 'a red ball rolls down a ramp'): Promise<GuardDecision> {
  await using guard = await openGuardrail(given);
  // Awaited here: the guard is closed when this function ends.
  return await guard.checkTexts([{ subject: 'prompt', text }]);
}

/** A copy of the shipped model folder, changed. */
function spoiled(name: string, change: (folder: string) => void): string {
  const folder = join(dir, name);
  cpSync(join(shippedModels(), 'orrery-guard'), folder, { recursive: true });
  change(folder);
  return folder;
}

function expectError(decision: GuardDecision, message: RegExp): void {
  expect(decision).toMatchObject({ isAllowed: false, verdict: 'error' });
  expect(decision.message).toMatch(message);
}

test('a missing model', async () => {
  expectError(await check(policy({ model: join(dir, 'nowhere') })), /nowhere.*orrery models list/);
});

test('a missing file of the model', async () => {
  const model = spoiled('no-lexicon', (folder) => rmSync(join(folder, 'lexicon.txt')));
  expectError(await check(policy({ model })), /lexicon\.txt/);
});

test('altered and cut files of the model', async () => {
  const altered = spoiled('altered', (folder) => {
    const path = join(folder, 'blocklist.txt');
    writeFileSync(path, readFileSync(path, 'utf8').replace('O1 en', 'O2 en'));
  });
  expectError(await check(policy({ model: altered })), /blocklist\.txt/);
  const cut = spoiled('cut', (folder) => truncateSync(join(folder, 'model.safetensors'), 1_000_000));
  expectError(await check(policy({ model: cut })), /model\.safetensors/);
});

test('a record that promises more memory than there is', async () => {
  const model = spoiled('huge', (folder) => {
    const path = join(folder, 'model.json');
    const record = JSON.parse(readFileSync(path, 'utf8'));
    record.config.net.channels = 2 ** 31 - 1;
    record.config.net.words = 2 ** 22;
    writeFileSync(path, JSON.stringify(record));
  });
  expectError(await check(policy({ model })), /classifier|memory|length|shape|need/i);
});

test('an own list that is missing or no list', async () => {
  expectError(await check(policy({ lists: [join(dir, 'none.txt')] })), /none\.txt/);
  const bad = join(dir, 'bad.txt');
  writeFileSync(bad, 'O4 en: pipe bomb\nthis is no entry\n');
  expectError(await check(policy({ lists: [bad] })), /bad\.txt:2: need a line/);
});

test('a decoder without weights is not configured, and blocks', async () => {
  const decision = await check(policy({ text: ['blocklist', 'llama-guard'] }));
  expect(decision).toMatchObject({ isAllowed: false, verdict: 'not-configured' });
});

test('a decoder folder that holds nothing is an error', async () => {
  const decision = await check(policy({ text: ['llama-guard'], decoder: { folder: join(dir, 'empty') } }));
  expectError(decision, /empty/);
});

const grey = (t: number): GuardFrames => ({
  dtype: 'u8',
  shape: [t, 32, 32, 3],
  data: new Uint8Array(t * 32 * 32 * 3).fill(128),
});

test('zero frames, wrong lengths, no rate and black frames are refused; grey ones pass', async () => {
  await using guard = await openGuardrail(policy({}));
  const options = { subject: 'frames', fps: 24 };
  expectError(await guard.checkFrames(grey(0), options), /no frames/);
  expectError(await guard.checkFrames({ ...grey(2), data: new Uint8Array(5) }, options), /5 bytes for frames/);
  expectError(await guard.checkFrames(grey(2), { ...options, fps: Number.NaN }), /rate of NaN/);
  const black = await guard.checkFrames({ ...grey(3), data: new Uint8Array(3 * 32 * 32 * 3) }, options);
  expect(black).toMatchObject({ isAllowed: false, verdict: 'unsafe', category: 'frame' });
  expect(black.frames).toBeUndefined();
  const passed = await guard.checkFrames(grey(3), options);
  expect(passed.isAllowed).toBe(true);
  expect(passed.frames!.shape).toEqual([3, 32, 32, 3]);
});

test('frame content and faces that are not optional block when they are not there', async () => {
  await using guard = await openGuardrail(parsePolicy({ name: 'strict' }));
  const decision = await guard.checkFrames(grey(3), { subject: 'frames', fps: 24 });
  expect(decision).toMatchObject({ isAllowed: false, verdict: 'not-configured', checker: 'content' });
});

test('face weights that are no weights are an error', async () => {
  const weights = join(dir, 'faces.pth');
  writeFileSync(weights, 'no weights');
  await using guard = await openGuardrail(policy({ faces: { detector: 'retinaface', weights } }));
  expectError(await guard.checkFrames(grey(2), { subject: 'frames', fps: 24 }), /faces\.pth/);
});

test('a log that cannot be written is said', async () => {
  writeFileSync(join(dir, 'file'), '');
  await expect(check(policy({ log: join(dir, 'file', 'log.jsonl') }))).rejects.toThrow(/log/);
});

test('after all that a good policy still decides', async () => {
  expect((await check(policy({}))).isAllowed).toBe(true);
  expect((await check(policy({}), 'a man builds a pipe bomb in his garage')).verdict).toBe('unsafe');
});
