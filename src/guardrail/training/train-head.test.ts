// A head of one's own, from pictures to a policy that blocks: a small random tower in the public layout and pictures made here.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { f32, type GuardFrames, type RandomStream, randomStream, sizeOf } from '../../base/index.ts';
import { writeSafetensors } from '../../formats/index.ts';
import { input } from '../../graph/index.ts';
import { encodeImage } from '../../media/index.ts';
import { listWeights, scoped, siglipConfig, siglipVision } from '../../nets/index.ts';
import { contentChecker } from '../frames/frame-checkers.ts';
import { openGuardrail } from '../guard.ts';
import { parsePolicy } from '../policy.ts';
import { trainHead } from './train-head.ts';

const dir = mkdtempSync(join(tmpdir(), 'guard-head-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const tower = join(dir, 'tower');
const head = join(dir, 'head.safetensors');
const SIDE = 48;
const KINDS = ['Safe', 'Violence', 'Self-Harm'] as const;

/** A tower with the keys and the nested config of the public checkpoints, weights drawn at random. */
function writeTower(): void {
  const json = {
    vision_config: {
      hidden_size: 32,
      num_attention_heads: 4,
      intermediate_size: 64,
      num_hidden_layers: 2,
      image_size: 32,
      patch_size: 8,
    },
  };
  const config = siglipConfig(json);
  const pixels = input('pixels', [1, 3, config.imageSize, config.imageSize]);
  const specs = listWeights((w) => siglipVision(pixels, config, scoped(w, 'vision_model')).pooled);
  const random = randomStream(5, 'tower');
  const tensors = specs.map(({ key, shape }) => {
    const isNorm = /norm.*\.weight$/.test(key);
    const values = Float32Array.from({ length: sizeOf(shape) }, () =>
      isNorm ? 1 : key.endsWith('bias') ? 0 : 0.2 * random.normal(),
    );
    return [key, f32(shape, values)] as const;
  });
  mkdirSync(tower);
  writeFileSync(join(tower, 'config.json'), JSON.stringify(json));
  writeSafetensors(join(tower, 'model.safetensors'), tensors, {});
}

/** Grey noise is safe, red stripes are violence, blue squares are self-harm: stand-ins that a tower can tell apart. */
function picture(kind: (typeof KINDS)[number], random: RandomStream): GuardFrames {
  const data = new Uint8Array(SIDE * SIDE * 3);
  const phase = random.integer(0, 7);
  for (let i = 0; i < SIDE * SIDE; i++) {
    const [x, y] = [i % SIDE, Math.floor(i / SIDE)];
    const noise = random.integer(0, 30);
    const isOn = kind === 'Violence' ? (x + phase) % 8 < 4 : (x >> 3) % 2 === (y >> 3) % 2;
    const value = kind === 'Safe' ? [120, 120, 120] : kind === 'Violence' ? [220, 20, 20] : [20, 20, 220];
    for (let c = 0; c < 3; c++) data[3 * i + c] = (kind === 'Safe' || isOn ? value[c]! : 40) + noise;
  }
  return { dtype: 'u8', shape: [1, SIDE, SIDE, 3], data };
}

const policyWith = (more: object) =>
  parsePolicy({
    name: 'own-head',
    text: ['blocklist'],
    video: ['content'],
    content: { tower, head, maxFps: 30, ...more },
    faces: { mode: 'off' },
  });

/** Pictures as a video. */
function video(kinds: readonly (typeof KINDS)[number][]): GuardFrames {
  const random = randomStream(9, 'video');
  const each = SIDE * SIDE * 3;
  const data = new Uint8Array(kinds.length * each);
  for (const [i, kind] of kinds.entries()) data.set(picture(kind, random).data, i * each);
  return { dtype: 'u8', shape: [kinds.length, SIDE, SIDE, 3], data };
}

beforeAll(async () => {
  writeTower();
  const random = randomStream(3, 'pictures');
  for (const kind of KINDS) {
    mkdirSync(join(dir, 'pictures', kind), { recursive: true });
    for (let i = 0; i < 20; i++) {
      const frames = picture(kind, random);
      writeFileSync(join(dir, 'pictures', kind, `${i}.png`), await encodeImage(frames, { format: 'png' }));
    }
  }
  let accuracy = 0;
  const options = { tower, data: join(dir, 'pictures'), out: head, work: join(dir, 'work'), steps: 60 };
  for await (const event of trainHead(options)) if (event.type === 'written') accuracy = event.accuracy;
  expect(accuracy).toBeGreaterThan(0.8);
}, 120_000);

test('a policy with the trained head passes what is safe and blocks each class as its own category', async () => {
  await using guard = await openGuardrail(policyWith({}));
  const check = (frames: GuardFrames) => guard.checkFrames(frames, { subject: 'frames', fps: 10 });
  expect(await check(video(['Safe', 'Safe', 'Safe']))).toMatchObject({ isAllowed: true, verdict: 'safe' });
  expect(await check(video(['Safe', 'Violence', 'Safe']))).toMatchObject({ isAllowed: false, category: 'O1' });
  expect(await check(video(['Self-Harm']))).toMatchObject({ isAllowed: false, category: 'O6', checker: 'content' });
  const both = await check(video(['Self-Harm', 'Violence', 'Safe']));
  expect(both.checks[0]!.categories).toEqual(['O1', 'O6']);
});

test('a class blocks by its own frames only, and an allowed one does not hide another', async () => {
  await using two = await openGuardrail(policyWith({ count: 2, of: 2 }));
  const check = (frames: GuardFrames) => two.checkFrames(frames, { subject: 'frames', fps: 10 });
  expect((await check(video(['Violence', 'Self-Harm', 'Safe']))).isAllowed).toBe(true);
  expect(await check(video(['Safe', 'Violence', 'Violence']))).toMatchObject({ isAllowed: false, category: 'O1' });
  await using lenient = await openGuardrail({ ...policyWith({}), allow: ['O1'] });
  const passes = (frames: GuardFrames) => lenient.checkFrames(frames, { subject: 'frames', fps: 10 });
  expect((await passes(video(['Violence']))).isAllowed).toBe(true);
  expect(await passes(video(['Violence', 'Self-Harm']))).toMatchObject({ isAllowed: false, category: 'O6' });
});

test('a video in parts is judged as a whole: strides and windows go on over the borders', async () => {
  const settings = policyWith({ maxFps: 10, count: 2, of: 2 }).content;
  const content = contentChecker(settings);
  try {
    const signal = new AbortController().signal;
    // At 30 frames a second every third frame is looked at: 0, 3, 6. Frames 3 and 6 are red, in different parts.
    const kinds = ['Safe', 'Safe', 'Safe', 'Violence', 'Safe', 'Safe', 'Violence', 'Safe'] as const;
    const whole = await content.checker.check({ frames: video(kinds), fps: 30 }, signal);
    expect(whole).toMatchObject({ verdict: 'unsafe', category: 'O1' });
    const watch = content.follow();
    const answers = [];
    for (const part of [kinds.slice(0, 4), kinds.slice(4, 5), kinds.slice(5)])
      answers.push(await watch.check({ frames: video(part), fps: 30 }, signal));
    expect(answers.map((a) => a.verdict)).toEqual(['safe', 'safe', 'unsafe']);
    expect(answers[1]).toMatchObject({ reason: '2 frames looked at' });
  } finally {
    await content.dispose();
  }
});
