// Training over a NATS server: processes that share no folder come and go, one is killed, and the result is that of a shared folder.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadCheckpoint, type TrainOptions, train } from '../../src/training/index.ts';

const hasServer = spawnSync('nats-server', ['--version']).status === 0;
if (!hasServer) console.log('training over NATS: not tested, there is no nats-server (Debian package nats-server)');

let folder: string;
let server: ChildProcess | undefined;
const port = 20_000 + ((process.pid + 7919) % 20_000);
const url = `nats://127.0.0.1:${port}`;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'orrery-train-nats-'));
  writeClips();
  if (!hasServer) return;
  server = spawn('nats-server', ['-js', '-a', '127.0.0.1', '-p', `${port}`, '-sd', join(folder, 'store')], {
    stdio: 'ignore',
  });
  await new Promise((resolve) => setTimeout(resolve, 1000));
});
afterAll(async () => {
  if (server !== undefined) {
    const ended = new Promise((resolve) => server!.once('exit', resolve));
    server.kill();
    await ended;
  }
  rmSync(folder, { recursive: true, force: true });
});

const SIZE = { frames: 9, height: 16, width: 16, fps: 12 };

/** Clips of a bright square that moves over a ramp. */
function writeClips(): void {
  const set = join(folder, 'squares');
  for (const [split, count] of [
    ['train', 8],
    ['heldout', 2],
  ] as const) {
    mkdirSync(join(set, split), { recursive: true });
    const data = new Uint8Array(count * 9 * 16 * 16 * 3);
    for (let i = 0; i < data.length; i++) {
      const [x, y] = [Math.floor(i / 3) % 16, Math.floor(i / 48) % 16];
      const [t, clip] = [Math.floor(i / 768) % 9, Math.floor(i / 6912)];
      const isInside = Math.abs(x - ((clip * 5 + t) % 16)) < 3 && Math.abs(y - ((clip * 3) % 16)) < 3;
      data[i] = isInside ? 230 : 4 * x + 3 * y + 20 * (i % 3);
    }
    const lines = Array.from({ length: count }, (_, index) => {
      const meta = { index, id: `${split}-${index}`, seed: index, scenario: 'squares', caption: 'a square' };
      return JSON.stringify({ ...meta, fps: 12, frames: 9 });
    });
    writeFileSync(join(set, split, 'clips-00000.bin'), data);
    writeFileSync(join(set, split, 'clips-00000.jsonl'), `${lines.join('\n')}\n`);
  }
  writeFileSync(join(set, 'dataset.json'), JSON.stringify({ version: 1, ...SIZE, spec: SIZE }));
}

function recipeOf(name: string, more: object): string {
  const path = join(folder, `${name}.json`);
  const recipe = {
    kind: 'tokenizer',
    name,
    dataset: 'squares',
    seed: 1,
    model: {
      kind: 'orrery-tokenizer',
      patch: 4,
      timePatch: 4,
      channels: 8,
      width: 16,
      encoderBlocks: 1,
      decoderBlocks: 1,
      smoothing: 0,
    },
    frames: 9,
    size: 16,
    movingWeight: 0,
    batch: 4,
    steps: 60,
    schedule: { lr: 0.003, warmup: 5, decayFrom: 60, decayTo: 60, floor: 1, ema: 0.9 },
    optimizer: { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.01, clip: 1 },
    validateEvery: 60,
    validationClips: 2,
    checkpointSeconds: 1000,
    ...more,
  };
  writeFileSync(path, JSON.stringify(recipe));
  return path;
}

type Helper = { readonly process: ChildProcess; text(): string; readonly ended: Promise<number | null> };

/** `orrery train` in a process of its own. */
function helper(recipe: string, name: string): Helper {
  const main = join(import.meta.dirname, '../../dist/src/cli/main.js');
  const out = ['-o', join(folder, name), '--data', folder];
  const over = ['--nats', url, '--ack-wait-seconds', '3', '--threads', '1', '--json'];
  const child = spawn(process.execPath, [main, 'train', recipe, ...out, ...over]);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (text += String(data)));
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { process: child, text: () => text, ended };
}

async function waitFor(isTrue: () => boolean, seconds: number, what: () => string): Promise<void> {
  for (const end = Date.now() + 1000 * seconds; !isTrue(); ) {
    if (Date.now() > end) throw new Error(`waited ${seconds} s: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function lossesOf(
  recipe: string,
  name: string,
  more: TrainOptions = {},
): Promise<{ step: number; loss: number }[]> {
  const list: { step: number; loss: number }[] = [];
  const options = { out: join(folder, name), data: folder, threads: 1, ...more };
  for await (const e of train(recipe, options)) if (e.type === 'step') list.push({ step: e.step, loss: e.loss });
  return list.sort((a, b) => a.step - b.step);
}

const meanOfLast = (losses: readonly { loss: number }[]): number => {
  const tail = losses.slice(-losses.length / 4);
  return tail.reduce((sum, { loss }) => sum + loss, 0) / tail.length;
};

const stateOf = async (name: string) => (await loadCheckpoint(join(folder, name, 'checkpoints')))!;

describe.skipIf(!hasServer)('training over NATS', () => {
  const parallel = { slots: 2, localSteps: 5, outerRate: 1, outerMomentum: 0 };

  it('goes on when one process is killed and another joins, to the weights of a shared folder and the loss of one process', async () => {
    const recipe = recipeOf('together', { parallel });
    const first = helper(recipe, 'first');
    await waitFor(() => /"step","step":8,/.test(first.text()), 120, first.text);
    first.process.kill('SIGKILL');
    await first.ended;
    // Joins late, in another folder, and finds the work of the dead one.
    const mine = await lossesOf(recipe, 'second', { nats: url, ackWaitSeconds: 3 });
    // What was synchronised is not computed again: nothing before the second round.
    expect(mine[0]!.step).toBeGreaterThan(5);
    expect(mine.at(-1)!.step).toBe(60);

    const shared = await lossesOf(recipe, 'shared');
    const [over, want] = [await stateOf('second'), await stateOf('shared')];
    for (const name of ['p', 'm', 'v', 'ema'] as const) expect(over.state[name]).toEqual(want.state[name]);

    const one = await lossesOf(recipeOf('one', { batch: 8 }), 'one');
    expect(meanOfLast(shared)).toBeLessThan(1.03 * meanOfLast(one));

    // One that comes when all is done writes the result into its own folder.
    const late = helper(recipe, 'late');
    expect(await late.ended, late.text()).toBe(0);
    const got = await stateOf('late');
    expect(got.record.step).toBe(60);
    expect(got.state).toEqual(want.state);
  }, 400_000);

  it('needs a recipe that says how work is divided, and a server', async () => {
    await expect(lossesOf(recipeOf('alone', {}), 'alone', { nats: url })).rejects.toThrow('a recipe with "parallel"');
    await expect(lossesOf(recipeOf('nobody', { parallel }), 'nobody', { nats: 'nats://127.0.0.1:1' })).rejects.toThrow(
      'start one with: nats-server -js',
    );
  }, 60_000);
});
