// Policies: defaults, paths, and one clear line for each mistake.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { DEFAULT_POLICY, parsePolicy, readPolicy } from './policy.ts';

const dir = mkdtempSync(join(tmpdir(), 'orrery-policy-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

test('the default policy checks text, frames and faces and gives a reason for every optional part', () => {
  const policy = parsePolicy(DEFAULT_POLICY);
  expect(policy.text).toEqual(['blocklist', 'classifier']);
  expect(policy.video).toEqual(['frames', 'content']);
  expect(policy.faces.mode).toBe('pixelate');
  for (const reason of Object.values(policy.optional)) expect(reason.length).toBeGreaterThan(10);
});

test('paths are taken relative to the file', () => {
  const path = join(dir, 'p.json');
  writeFileSync(
    path,
    JSON.stringify({ name: 'mine', lists: ['own.txt'], content: { tower: 't', head: 'h.safetensors' } }),
  );
  const policy = readPolicy(path);
  expect(policy.lists).toEqual([join(dir, 'own.txt')]);
  expect(policy.content).toMatchObject({ tower: join(dir, 't'), head: join(dir, 'h.safetensors') });
});

test.each([
  ['no name', {}, /name/],
  ['a bad name', { name: 'Mine!' }, /name: .*small letters, digits and dashes/],
  ['an unknown key', { name: 'a', treshold: 0.5 }, /treshold/],
  ['an unknown key of a part', { name: 'a', faces: { modee: 1 } }, /faces\.modee: .*one of mode, detector, weights/],
  ['a threshold above one', { name: 'a', threshold: 7 }, /threshold: got 7/],
  ['no text checker', { name: 'a', text: [] }, /text: .*at least one text checker/],
  ['an unknown checker', { name: 'a', text: ['magic'] }, /text\.0/],
  ['an unknown category', { name: 'a', allow: ['O77'] }, /allow\.0/],
  [
    'an optional checker without a reason',
    { name: 'a', optional: { content: 'no' } },
    /optional\.content: .*reason of at least ten/,
  ],
  [
    'the classifier as optional',
    { name: 'a', optional: { classifier: 'it is slow on our machine' } },
    /optional\.classifier/,
  ],
  ['a list instead of an object', [], /policy: .*need an object/],
  ['null', null, /policy: .*need an object/],
])('%s is named', (_, value, message) => {
  expect(() => parsePolicy(value, 'policy.json')).toThrow(message);
});

test('a missing file and broken JSON are named', () => {
  expect(() => readPolicy(join(dir, 'none.json'))).toThrow(/none\.json: no such policy file/);
  writeFileSync(join(dir, 'broken.json'), '{"name": ');
  expect(() => readPolicy(join(dir, 'broken.json'))).toThrow(/broken\.json: no valid JSON/);
});
