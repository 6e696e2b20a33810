// `orrery models` as a process: fetch from a server that behaves like the hub, look into, convert, check, export, remove.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parityCase, saveTorch } from '../fixtures/checkpoints.ts';
import { type FakeHub, fakeHub } from '../fixtures/fake-hub.ts';
import { bytesOf, dict, global, PROTO, REDUCE, STOP, str, tensor, torchZip, tuple } from '../fixtures/pickler.ts';
import { type Ended, orrery } from './run-orrery.ts';

const REPO = 'nvidia/Cosmos-Tokenize1-CV4x8x8-Tiny';
let dir: string;
let hub: FakeHub;
let models: (...args: string[]) => Promise<Ended>;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'orrery-models-'));
  hub = await fakeHub(REPO);
  const file = saveTorch(join(dir, 'tokenizer.pt'), parityCase('cv_4x8x8_patch4_two_level').weights);
  hub.files = {
    'model.pt': { bytes: readFileSync(file), isLarge: true },
    'config.json': { bytes: new TextEncoder().encode('{"architectures": ["CosmosTokenizer"]}'), isLarge: false },
  };
  const env = {
    HF_ENDPOINT: hub.endpoint,
    HF_HOME: join(dir, 'hf'),
    HF_HUB_CACHE: '',
    HF_TOKEN: '',
    HF_TOKEN_PATH: '',
    HF_HUB_OFFLINE: '',
  };
  models = (...args) => orrery(['models', ...args], { cwd: dir, env });
});
afterAll(async () => {
  await hub.close();
  rmSync(dir, { recursive: true, force: true });
});

describe('models', () => {
  it('gets, lists, inspects, verifies, converts, exports and removes a model of the hub', async () => {
    const got = await models('get', REPO);
    expect(got.stderr).toContain(`${REPO} at ${hub.commit} · 2 files`);
    expect(got.stderr).toContain('licence open-model-licence');
    expect(got.code).toBe(0);
    expect(readdirSync(got.stdout.trim()).sort()).toEqual(['config.json', 'model.pt']);

    expect((await models('list')).stdout).toMatch(
      new RegExp(`${REPO}\\s+hub\\s+-\\s+1\\.\\d+ MB\\s+commit c0ffee000000`),
    );
    expect((await models('inspect', REPO)).stdout).toMatch(
      /^cosmos-tokenizer · original layout · [\d,]+ parameters · all keys fit\n/,
    );
    const verified = await models('verify', REPO);
    expect(verified.stdout.split('\n').map((line) => line.split(':')[0])).toEqual([
      'ok  sums',
      'ok  keys',
      'ok  values',
      '',
    ]);

    const converted = await models('convert', REPO, 'tiny', '--layout', 'orrery', '--dtype', 'f16');
    expect([converted.code, converted.stdout.trim()]).toEqual([0, 'tiny']);
    expect((await models('inspect', 'tiny')).stdout).toMatch(/^tiny · cosmos-tokenizer · /);

    const exported = await models(
      'export',
      'tiny',
      '--size',
      '16x24',
      '--frames',
      '5',
      '--external-data',
      '-o',
      'onnx',
    );
    expect([exported.code, exported.stdout.trim()]).toEqual([0, join('onnx', 'manifest.json')]);
    expect(readdirSync(join(dir, 'onnx')).sort()).toEqual([
      'decoder.onnx',
      'encoder.onnx',
      'manifest.json',
      'weights.safetensors',
    ]);

    expect((await models('remove', REPO)).stdout).toMatch(
      /^removed nvidia\/Cosmos-Tokenize1-CV4x8x8-Tiny, 1\.\d+ MB freed\n$/,
    );
    const gone = await models('inspect', REPO);
    expect(gone.stderr).toContain(`fetch it: orrery models get ${REPO}`);
    expect(gone.code).toBe(4);
  });

  it('says of a gated model what to accept where, with code 4', async () => {
    Object.assign(hub, { token: 'hf_x', isGated: true });
    const { code, stderr } = await models('get', REPO);
    Object.assign(hub, { token: undefined, isGated: false });
    expect(stderr).toMatch(
      /^error: .* is gated \(401, no token was sent\): open http:\S+, sign in and accept its licence, then make a token at \S+\/settings\/tokens and set HF_TOKEN\n$/,
    );
    expect(code).toBe(4);
  });

  it('shows what hides in a pickle and refuses to convert it', async () => {
    const attack = [global('posix', 'system'), tuple(str('touch proof')), REDUCE];
    writeFileSync(
      join(dir, 'evil.pt'),
      torchZip(bytesOf(PROTO, dict([str('w'), tensor({ size: [1] })], [str('boo'), attack]), STOP), {
        0: new Uint8Array(4),
      }),
    );
    const { stdout } = await models('inspect', 'evil.pt');
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      'w  f32  [1]',
      'boo  not a tensor: posix system',
      'warning: the file names posix system, which would run code; nothing was run, and it will not be loaded',
    ]);
    const converted = await models('convert', 'evil.pt', 'evil', '--layout', 'orrery');
    expect(converted.stderr).toContain('evil.pt holds calls of "posix system"');
    expect(converted.code).toBe(4);
    expect(readdirSync(dir)).not.toContain('proof');
    expect(readdirSync(dir)).not.toContain('evil');
  });

  it('runs the reference cases of the family after the checks', async () => {
    const { stdout, code } = await models('verify', 'tokenizer.pt', '--selftest');
    expect(stdout.match(/^ok {2}reference on cpu: /gm)?.length).toBe(8);
    expect(code).toBe(0);
  });
});
