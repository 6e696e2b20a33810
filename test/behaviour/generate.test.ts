// The main job through the public door, on the shipped models.

import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { noGuardrail } from '../../src/base/index.ts';
import { type GenerateEvent, generate, tokenize } from '../../src/index.ts';
import { encodeMp4, readFrames } from '../../src/media/index.ts';
import { requestOfRun } from '../../src/worlds/index.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-generate-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function run(request: unknown, out = join(folder, 'runs'), signal?: AbortSignal): Promise<GenerateEvent[]> {
  const events: GenerateEvent[] = [];
  for await (const e of generate(request, {
    guardrail: noGuardrail(),
    out,
    ...(signal === undefined ? {} : { signal }),
  }))
    events.push(e);
  return events;
}

const hashOf = (path: string): string => createHash('sha256').update(readFileSync(path)).digest('hex');
const completed = (events: GenerateEvent[]): Extract<GenerateEvent, { type: 'completed' }> => {
  const last = events.at(-1)!;
  if (last.type !== 'completed') throw new Error(`ended with ${last.type}`);
  return last;
};

/** A small grey video with a moving square. */
async function sampleVideo(path: string, frames: number): Promise<void> {
  const [w, h] = [160, 96];
  const data = new Uint8Array(frames * w * h * 3).fill(120);
  for (let f = 0; f < frames; f++) {
    for (let y = 30; y < 60; y++) for (let x = 10 + 3 * f; x < 40 + 3 * f; x++) data[((f * h + y) * w + x) * 3] = 220;
  }
  await encodeMp4({ dtype: 'u8', shape: [frames, h, w, 3], data }, { path, fps: 12 });
}

describe('generate', () => {
  it('makes a video with a run folder that says everything, and the same seed gives the same bytes', async () => {
    const request = { prompt: 'a red ball rolls towards a blue cube on a wooden floor', seed: 7, steps: 2 };
    const first = completed(await run(request));
    expect(readdirSync(first.dir).sort()).toEqual([
      'events.jsonl',
      'request.json',
      'resolved.json',
      'result.json',
      'video.mp4',
      'video.png',
    ]);
    const resolved = JSON.parse(readFileSync(join(first.dir, 'resolved.json'), 'utf8'));
    expect(resolved).toMatchObject({ prompt: request.prompt, seed: 7, steps: 2, guardrail: 'none', device: 'cpu' });
    expect(resolved.models[0].files['model.safetensors'].sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(first).toMatchObject({ frames: 33, width: 128, height: 128 });
    const second = completed(await run(request));
    expect(hashOf(second.video)).toBe(hashOf(first.video));
    const other = completed(await run({ ...request, seed: 8 }));
    expect(hashOf(other.video)).not.toBe(hashOf(first.video));
  });

  it('keeps the finished videos of a run that is stopped, and nothing of one that finished none', async () => {
    const out = join(folder, 'stopped');
    const stop = new AbortController();
    const request = { prompt: 'a red ball', seed: 1, steps: 1, frames: 9, count: 3 };
    const events = generate(request, { guardrail: noGuardrail(), out, signal: stop.signal });
    const made = async (): Promise<void> => {
      for await (const e of events) if (e.type === 'completed') stop.abort();
    };
    await expect(made()).rejects.toThrow(/cancel/);
    const dir = join(out, readdirSync(out)[0]!);
    expect(JSON.parse(readFileSync(join(dir, 'result.json'), 'utf8'))).toMatchObject({
      status: 'stopped',
      videos: ['video-1.mp4'],
    });
    expect(readdirSync(dir).filter((name) => name.endsWith('.mp4'))).toEqual(['video-1.mp4']);
    const left = generate(request, { guardrail: noGuardrail(), out: join(folder, 'left') });
    for await (const e of left) if (e.type === 'step') break;
    expect(readdirSync(join(folder, 'left'))).toEqual([]);
    await expect(run({ ...request, input: join(folder, 'none.mp4') }, join(folder, 'nothing'))).rejects.toThrow();
    expect(readdirSync(join(folder, 'nothing'))).toEqual([]);
  });

  it('goes on from a video of another size and beyond one window', async () => {
    const path = join(folder, 'in.mp4');
    await sampleVideo(path, 15);
    const events = await run({ input: path, frames: 40, steps: 1, seed: 3 });
    expect(completed(events).frames).toBe(40);
    // 9 → 17 → 25 → 33 → 41: four windows, one step and the closing one each.
    expect(events.filter((e) => e.type === 'step')).toHaveLength(8);
  });

  it('shows the given frames as they are, and a picture as the first frame', async () => {
    const path = join(folder, 'in9.mp4');
    await sampleVideo(path, 12);
    const made = completed(await run({ input: path, frames: 17, steps: 1 }));
    const options = { width: 128, height: 128, fit: 'crop', fps: 24 } as const;
    const given = await readFrames(path, { ...options, lastFrames: 9 });
    const got = await readFrames(made.video, options);
    expect(got.shape[0]).toBe(17);
    let far = 0;
    for (let i = 0; i < given.data.length; i++) far += Math.abs(given.data[i]! - got.data[i]!);
    expect(far / given.data.length).toBeLessThan(3); // the loss of the video encoder alone
  });

  it('makes a run again from its folder, and refuses when it cannot', async () => {
    const made = completed(await run({ prompt: 'a green ball falls onto a grey floor', seed: 5, steps: 1, frames: 9 }));
    expect(requestOfRun(made.dir)).toMatchObject({ seed: 5, steps: 1, frames: 9 });
    expect(hashOf(completed(await run(requestOfRun(made.dir))).video)).toBe(hashOf(made.video));
    const hidden = completed(await run({ prompt: 'a ball', steps: 1, frames: 2, private: true }));
    expect(() => requestOfRun(hidden.dir)).toThrow(/was not private/);
    expect(() => requestOfRun(folder)).toThrow(/need a run folder/);
    const record = join(made.dir, 'resolved.json');
    writeFileSync(record, readFileSync(record, 'utf8').replace(/"sha256": "[0-9a-f]{12}/, '"sha256": "000000000000'));
    expect(() => requestOfRun(made.dir)).toThrow(/had sha256 000000000000…/);
  });

  it('says so when the weights give no numbers', async () => {
    const models = join(folder, 'nan');
    cpSync(new URL('../../models', import.meta.url).pathname, models, { recursive: true });
    const model = join(models, 'orrery-nano');
    const file = join(model, 'model.safetensors');
    const bytes = readFileSync(file);
    // float16 NaN in the last tensor; the record is made to agree, as a broken conversion would.
    bytes.fill(0x7e, bytes.length - 512);
    writeFileSync(file, bytes);
    const record = join(model, 'model.json');
    const sum = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(record, readFileSync(record, 'utf8').replace(/"sha256": "[0-9a-f]{64}"/, `"sha256": "${sum}"`));
    await expect(run({ prompt: 'a ball', steps: 1, frames: 2, model })).rejects.toThrow(
      /the network returned NaN at step 1.*orrery models verify/,
    );
  });

  it('leaves nothing behind when it is cancelled', async () => {
    const out = join(folder, 'cancelled');
    const stop = new AbortController();
    const cancelled = async (): Promise<void> => {
      for await (const e of generate(
        { prompt: 'a ball', steps: 8 },
        { guardrail: noGuardrail(), out, signal: stop.signal },
      ))
        if (e.type === 'step') stop.abort();
    };
    await expect(cancelled()).rejects.toMatchObject({ code: 'canceled' });
    expect(existsSync(out) ? readdirSync(out) : []).toEqual([]);
  });

  it.each([
    [{}, /prompt: got "", need a sentence/],
    [{ prompt: 'x', steps: 0 }, /steps: got 0/],
    [{ prompt: 'x', promt: 'y' }, /promt: got "y", need no such field; known: prompt/],
    [{ prompt: 'x'.repeat(100_000) }, /prompt: got .* need at most 4000/],
    [{ prompt: 'x', model: 'no-such-model' }, /no model\.json.*orrery models list/],
    [{ input: '/no/such/file.mp4' }, /no\/such\/file\.mp4/],
  ])('refuses %j', async (request, message) => {
    const out = join(folder, 'refused');
    await expect(run(request, out)).rejects.toThrow(message);
    expect(existsSync(out) ? readdirSync(out) : []).toEqual([]);
  });

  it('refuses a model file that was altered, cut or is missing', async () => {
    const models = join(folder, 'models');
    cpSync(new URL('../../models', import.meta.url).pathname, models, { recursive: true });
    const file = join(models, 'orrery-nano', 'model.safetensors');
    const model = join(models, 'orrery-nano');
    const bytes = readFileSync(file);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(file, bytes);
    await expect(run({ prompt: 'x', model })).rejects.toThrow(/has been altered: sha256/);
    truncateSync(file, 1000);
    await expect(run({ prompt: 'x', model })).rejects.toThrow(/has 1000 bytes/);
    rmSync(file);
    await expect(run({ prompt: 'x', model })).rejects.toThrow(/is missing/);
  });
});

describe('tokenize', () => {
  it('restores a video of any length window by window', async () => {
    const path = join(folder, 'long.mp4');
    await sampleVideo(path, 40);
    const events = [];
    for await (const e of tokenize(path, { out: join(folder, 'tokens'), maxSide: 96 })) events.push(e);
    const last = events.at(-1)!;
    expect(last).toMatchObject({ type: 'completed', frames: 40 });
    if (last.type === 'completed') expect(last.psnr).toBeGreaterThan(25);
  });
});
