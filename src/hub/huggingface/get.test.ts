// Downloads against a server that behaves like the hub, and misbehaves.
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type FakeHub, fakeHub, gitHash, sha256 } from '../../../test/fixtures/fake-hub.ts';
import { exitCodeOf, OrreryError } from '../../base/index.ts';
import { cachedModels, cachedSnapshot, removeCached, repoFolder, snapshotFiles, verifySnapshot } from './cache.ts';
import { type GetEvent, type GetOptions, getModel } from './get.ts';
import { type HubSettings, hubSettings } from './settings.ts';

const REPO = 'nvidia/Cosmos-Tiny';
const big = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) % 251);
const small = new TextEncoder().encode('{"a": 1}');
let hub: FakeHub;
let cache: string;
let settings: HubSettings;

beforeEach(async () => {
  hub = await fakeHub(REPO);
  hub.files = {
    'config.json': { bytes: small, isLarge: false },
    'vae/model.safetensors': { bytes: big, isLarge: true },
  };
  cache = mkdtempSync(join(tmpdir(), 'orrery-hf-'));
  settings = { endpoint: hub.endpoint, cacheDir: cache, isOffline: false };
});
afterEach(async () => {
  await hub.close();
  rmSync(cache, { recursive: true, force: true });
});

async function get(options: GetOptions = {}): Promise<GetEvent[]> {
  const events: GetEvent[] = [];
  for await (const event of getModel(REPO, { settings, waitMs: 1, tries: 3, ...options })) events.push(event);
  return events;
}
const blobs = (): string[] => readdirSync(join(repoFolder(cache, REPO), 'blobs')).sort();
const stored = (): string[] => hub.log.filter((line) => line.startsWith('store'));
const bigBlob = (): string => join(repoFolder(cache, REPO), 'blobs', sha256(big));
const problem = async (options: GetOptions = {}): Promise<OrreryError> => {
  const error: unknown = await get(options).then(
    () => new Error('it went well'),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(OrreryError);
  return error as OrreryError;
};

test('a model lands in the cache as the Python library lays it out, and is not fetched twice', async () => {
  const events = await get();
  const done = events.at(-1);
  expect(done).toMatchObject({ type: 'completed', commit: hub.commit });
  expect(events[0]).toMatchObject({
    type: 'resolved',
    files: 2,
    totalBytes: big.length + small.length,
    licence: 'open-model-licence',
  });
  const folder = join(cache, 'models--nvidia--Cosmos-Tiny');
  expect(readFileSync(join(folder, 'refs/main'), 'utf8')).toBe(hub.commit);
  expect(blobs()).toEqual([sha256(big), gitHash(small)].sort());
  const link = join(folder, 'snapshots', hub.commit, 'vae/model.safetensors');
  expect(lstatSync(link).isSymbolicLink()).toBe(true);
  expect(readFileSync(link).equals(big)).toBe(true);
  expect(cachedSnapshot(cache, REPO)).toBe(join(folder, 'snapshots', hub.commit));
  hub.log.length = 0;
  expect((await get({ revision: hub.commit })).filter((e) => e.type === 'file').map((e) => e.from)).toEqual([
    'cache',
    'cache',
  ]);
  expect(hub.log).toEqual([`hub /api/models/${REPO}/revision/${hub.commit}`]);
  expect(readdirSync(join(cache, '.locks', 'models--nvidia--Cosmos-Tiny'))).toEqual([]);
});

test('a broken connection is continued where it ended, also by the next command', async () => {
  hub.faults.set('vae/model.safetensors', [
    { kind: 'break', after: 100_000 },
    { kind: 'break', after: 50_000 },
  ]);
  const events = await get();
  expect(events.filter((e) => e.type === 'retry').length).toBe(2);
  const [first, second, third] = stored();
  expect(first).toBe('store /vae%2Fmodel.safetensors');
  const from = (line: string | undefined): number => Number(/bytes=(\d+)-/.exec(line ?? '')?.[1]);
  expect(from(second)).toBeGreaterThan(0);
  expect(from(third)).toBeGreaterThan(from(second));
  expect(readFileSync(bigBlob()).equals(big)).toBe(true);

  rmSync(bigBlob());
  writeFileSync(`${bigBlob()}.incomplete`, big.slice(0, 123_456));
  hub.log.length = 0;
  await get();
  expect(stored()).toEqual(['store /vae%2Fmodel.safetensors bytes=123456-']);
  expect(readFileSync(bigBlob()).equals(big)).toBe(true);
});

test.each([
  ['ignores ranges', { kind: 'ignoreRange' } as const, 1],
  ['sends another part', { kind: 'otherPart' } as const, 2],
])('a server that %s does not spoil the file', async (_name, fault, requests) => {
  mkdirSync(join(repoFolder(cache, REPO), 'blobs'), { recursive: true });
  writeFileSync(`${bigBlob()}.incomplete`, big.slice(0, 1000));
  hub.faults.set('vae/model.safetensors', [fault]);
  await get();
  expect(stored().length).toBe(requests);
  expect(readFileSync(bigBlob()).equals(big)).toBe(true);
});

test('what is left of another file is found by its hash and fetched anew', async () => {
  mkdirSync(join(repoFolder(cache, REPO), 'blobs'), { recursive: true });
  writeFileSync(`${bigBlob()}.incomplete`, new Uint8Array(1000));
  expect((await problem()).message).toMatch(
    /vae\/model\.safetensors: its content has the hash .*, the hub promised .*nothing of it is kept/,
  );
  expect(blobs()).toEqual([gitHash(small)]);
  await get();
  expect(blobs()).toContain(sha256(big));
});

test.each([
  ['wrong bytes', { kind: 'garble' } as const, /has the hash [0-9a-f]{12}…, the hub promised [0-9a-f]{12}…/],
  ['more bytes than listed', { kind: 'tooLong' } as const, /sends more than the 300000 bytes/],
  [
    'another etag',
    { kind: 'etag', etag: 'f'.repeat(64) } as const,
    /the hub now has ffffffffffff…, it listed .*was changed during the download/,
  ],
])('%s: refused, nothing kept under its name', async (_name, fault, message) => {
  hub.faults.set('vae/model.safetensors', [fault]);
  const error = await problem();
  expect(error.message).toMatch(message);
  expect(exitCodeOf(error)).toBe(4);
  expect(blobs()).not.toContain(sha256(big));
  expect(cachedSnapshot(cache, REPO)).toBeUndefined();
});

test('the etag changes in the middle: the pieces of two files are not joined', async () => {
  hub.faults.set('vae/model.safetensors', [
    { kind: 'break', after: 100_000 },
    { kind: 'etag', etag: 'e'.repeat(64) },
  ]);
  expect((await problem()).message).toMatch(/was changed during the download\. Nothing was joined/);
});

test('a connection that keeps breaking ends with what is kept and how to go on', async () => {
  hub.faults.set(
    'vae/model.safetensors',
    Array.from({ length: 9 }, () => ({ kind: 'break', after: 0 }) as const),
  );
  expect((await problem()).message).toMatch(
    /3 tries without progress; 0 of 300000 bytes are kept: run the same command again/,
  );
});

test('a busy hub is asked again, a dead one is named', async () => {
  hub.faults.set('vae/model.safetensors', [
    { kind: 'status', status: 503 },
    { kind: 'status', status: 429 },
  ]);
  expect((await get()).filter((e) => e.type === 'retry').map((e) => e.reason)).toEqual([
    'the hub answers 503',
    'the hub answers 429, too many requests',
  ]);
  await hub.close();
  expect((await problem()).message).toMatch(
    /cannot be reached \(ECONNREFUSED\); commit c0ffee000000… is in the cache: HF_HUB_OFFLINE=1 uses it/,
  );
});

test('a gated model: what to accept, and where', async () => {
  Object.assign(hub, { token: 'hf_secret', isGated: true });
  const error = await problem();
  expect(error.message).toBe(
    `${REPO}: ${REPO} is gated (401, no token was sent): open ${hub.endpoint}/${REPO}, sign in and accept its licence, then make a token at ${hub.endpoint}/settings/tokens and set HF_TOKEN`,
  );
  expect(exitCodeOf(error)).toBe(4);
  expect((await problem({ settings: { ...settings, token: 'hf_other' } })).message).toMatch(
    /is gated \(401, with the token in HF_TOKEN\).*its owner has not agreed yet/,
  );
  await get({ settings: { ...settings, token: 'hf_secret' } });
  // The token goes to the hub and to nobody else.
  expect(stored().length).toBe(1);
  expect(stored().some((line) => line.includes('token'))).toBe(false);
});

test.each<[string, () => void, GetOptions, RegExp]>([
  [
    'a private or absent model',
    () => Object.assign(hub, { token: 'x' }),
    {},
    /\(401, no token was sent\): the model is private or does not exist/,
  ],
  ['403', () => hub.faults.set('api', [{ kind: 'status', status: 403 }]), {}, /refuses \(403.*accept what it asks for/],
  [
    '403 of a gate',
    () => hub.faults.set('api', [{ kind: 'status', status: 403, headers: { 'x-error-code': 'GatedRepo' } }]),
    {},
    /is gated \(403/,
  ],
  ['no such revision', () => {}, { revision: 'v9' }, /has no such revision; --revision takes a branch/],
  ['a commit that is not there', () => {}, { revision: 'a'.repeat(40) }, /has no such revision/],
  ['a revision that is a path', () => {}, { revision: '../../etc' }, /--revision: got "\.\.\/\.\.\/etc"/],
  [
    'a redirect in a circle',
    () =>
      hub.faults.set(
        'api',
        Array.from({ length: 9 }, () => ({ kind: 'redirect', to: `/api/models/${REPO}/revision/main` }) as const),
      ),
    {},
    /redirects more than 5 times/,
  ],
  [
    'a redirect to a file',
    () => hub.faults.set('api', [{ kind: 'redirect', to: 'file:///etc/passwd' }]),
    {},
    /redirects to file:.*not safe/,
  ],
  [
    'a name that leaves the folder',
    () => Object.assign(hub.files, { '../../evil': { bytes: small, isLarge: false } }),
    {},
    /called "\.\.\/\.\.\/evil", need a plain relative path/,
  ],
  [
    'a pattern that fits nothing',
    () => {},
    { include: ['*.gguf'] },
    /--include: got "\*\.gguf".*config\.json, vae\/model\.safetensors/,
  ],
])('refused: %s', async (_name, prepare, options, message) => {
  prepare();
  expect((await problem(options)).message).toMatch(message);
  expect(existsSync(join(repoFolder(cache, REPO), 'refs'))).toBe(false);
});

test('names of models are checked', async () => {
  for (const name of ['x', '../x', 'a/b/c', 'a/..', 'a--b/c', '']) {
    const tried = (async () => {
      for await (const _ of getModel(name, { settings }));
    })();
    await expect(tried).rejects.toThrow(/need owner\/name/);
  }
});

test('a part of the files, and another endpoint path', async () => {
  const events = await get({ include: ['*.json'] });
  expect(events.filter((e) => e.type === 'file').map((e) => e.file)).toEqual(['config.json']);
  expect(stored()).toEqual([]);
});

test('offline: the cache or a message, never the network', async () => {
  const offline = { ...settings, isOffline: true };
  expect((await problem({ settings: offline })).message).toMatch(
    /is not in .*, and HF_HUB_OFFLINE forbids to fetch it; go online once/,
  );
  await get();
  hub.log.length = 0;
  expect((await get({ settings: offline })).at(-1)).toMatchObject({
    type: 'completed',
    dir: cachedSnapshot(cache, REPO),
  });
  expect(hub.log).toEqual([]);
  rmSync(bigBlob());
  expect((await problem({ settings: offline })).message).toMatch(
    /1 of 2 files are not in the cache, first vae\/model\.safetensors/,
  );
});

test('cancelling keeps the start, leaves no lock and says so', async () => {
  hub.faults.set('vae/model.safetensors', [{ kind: 'stall', after: 70_000 }]);
  const abort = new AbortController();
  const events: GetEvent[] = [];
  const running = (async () => {
    for await (const event of getModel(REPO, { settings, signal: abort.signal })) {
      events.push(event);
      if (event.type === 'progress' && event.doneBytes >= 70_000) abort.abort();
    }
  })();
  await expect(running).rejects.toMatchObject({ code: 'canceled' });
  expect(blobs()).toContain(`${sha256(big)}.incomplete`);
  expect(readdirSync(join(cache, '.locks', 'models--nvidia--Cosmos-Tiny'))).toEqual([]);
});

test('two at once: one fetches, the other waits; a lock of a dead process is taken over', async () => {
  hub.faults.set('vae/model.safetensors', [{ kind: 'status', status: 503, headers: { 'retry-after': '1' } }]);
  const [a, b] = await Promise.all([get(), get()]);
  expect([...a!, ...b!].filter((e) => e.type === 'waiting').length).toBeGreaterThan(0);
  expect(stored().length).toBe(1);

  rmSync(bigBlob());
  writeFileSync(join(cache, '.locks', 'models--nvidia--Cosmos-Tiny', `${sha256(big)}.orrery.lock`), '999999999');
  await get();
  expect(existsSync(bigBlob())).toBe(true);
});

test('a full disk is told before the download begins', async () => {
  Object.assign(hub.files, {
    'huge.safetensors': { bytes: Object.assign(new Uint8Array(1), {}), isLarge: true },
  });
  const real = hub.files['huge.safetensors']!.bytes;
  Object.defineProperty(real, 'length', { value: 2 ** 52 });
  const error = await problem();
  expect(error.code).toBe('disk');
  expect(error.message).toMatch(/needs .* GB more, .* has .* GB free; free some space, set HF_HUB_CACHE/);
});

test.skipIf(!existsSync('/dev/full'))('the disk fills up during the download', async () => {
  mkdirSync(join(repoFolder(cache, REPO), 'blobs'), { recursive: true });
  symlinkSync('/dev/full', `${bigBlob()}.incomplete`);
  const error = await problem();
  expect(error.code).toBe('disk');
  expect(error.message).toMatch(/cannot write .*\.incomplete: the disk is full; free some space/);
  expect(existsSync(bigBlob())).toBe(false);
});

test('a cache that cannot be written is named', async () => {
  writeFileSync(join(cache, 'models--nvidia--Cosmos-Tiny'), '');
  expect((await problem()).message).toMatch(/cannot make the folder .*models--nvidia--Cosmos-Tiny/);
});

test('listing, verifying and removing what Python or we put there', async () => {
  await get();
  const dir = cachedSnapshot(cache, REPO)!;
  expect(cachedModels(cache)).toMatchObject([
    { repo: REPO, commits: [hub.commit], sizeBytes: big.length + small.length, unfinished: 0 },
  ]);
  const verify = async (): Promise<string[]> => {
    const checked: string[] = [];
    for await (const step of verifySnapshot(dir)) if (step.isChecked) checked.push(step.file);
    return checked;
  };
  expect(await verify()).toEqual(['config.json', 'vae/model.safetensors']);
  writeFileSync(join(repoFolder(cache, REPO), 'blobs', gitHash(small)), '{"a": 2}');
  await expect(verify()).rejects.toThrow(/config\.json has been altered/);
  rmSync(bigBlob());
  await expect(verify()).rejects.toThrow(/vae\/model\.safetensors is missing \(1 of 2 files\)/);
  symlinkSync('/etc/passwd', join(dir, 'secret'));
  expect(() => snapshotFiles(dir)).toThrow(/leads out of the cache/);
  expect(removeCached(cache, REPO)).toBe(small.length);
  expect(cachedModels(cache)).toEqual([]);
  expect(() => removeCached(cache, REPO)).toThrow(/is not in/);
});

test('settings come from the environment that users have', () => {
  const home = mkdtempSync(join(cache, 'home-'));
  writeFileSync(join(home, 'token'), 'hf_file\n');
  expect(hubSettings({ HF_HOME: home })).toEqual({
    endpoint: 'https://huggingface.co',
    token: 'hf_file',
    cacheDir: join(home, 'hub'),
    isOffline: false,
  });
  expect(
    hubSettings({
      HF_HOME: home,
      HF_TOKEN: ' t ',
      HF_ENDPOINT: 'http://127.0.0.1:1/',
      HF_HUB_CACHE: '/c',
      HF_HUB_OFFLINE: '1',
    }),
  ).toEqual({
    endpoint: 'http://127.0.0.1:1',
    token: 't',
    cacheDir: '/c',
    isOffline: true,
  });
  expect(() => hubSettings({ HF_ENDPOINT: 'ftp://x' })).toThrow(/HF_ENDPOINT: got "ftp:\/\/x"/);
});
