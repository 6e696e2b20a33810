// `bench nano`: what a user waits for with the shipped world model: 33 frames at its default settings, and the start of a program
// that has run before.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { noGuardrail } from '../src/base/index.ts';
import { type GenerateEvent, generate } from '../src/index.ts';
import type { Figure } from './measure.ts';

const PROMPT = 'A red ball and a blue ball roll towards each other on a wooden floor.';
const cli = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));

/** Times a generation from text and one that goes on from its own video, then a whole second program. */
export async function benchNano(): Promise<Figure[]> {
  const dir = mkdtempSync(join(tmpdir(), 'orrery-bench-'));
  try {
    const text = await completed({ prompt: PROMPT, seed: 7 }, dir);
    const again = await completed({ prompt: PROMPT, seed: 8 }, dir);
    const video = await completed({ input: again.video, seed: 7 }, dir);
    const start = await secondsToFirstStep(dir);
    const worldSeconds = again.frames / again.fps;
    const of = `${again.frames} frames, ${again.width}×${again.height}, default settings`;
    return [
      { name: 'text to world, first in this program', ...seconds(text.seconds, of, 12) },
      { name: 'text to world', ...seconds(again.seconds, of, 12) },
      { name: 'video to world', ...seconds(video.seconds, of, 12) },
      {
        name: 'text to world: speed',
        value: worldSeconds / again.seconds,
        unit: '×',
        of: 'real time',
        floor: null,
        ok: true,
      },
      { name: 'second start to first step', ...seconds(start, 'a whole new program', 2) },
    ];
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const seconds = (value: number, of: string, floor: number) =>
  ({ value, unit: 's', of, floor, ok: value <= floor, isCeiling: true }) as const;

async function completed(request: object, out: string): Promise<Extract<GenerateEvent, { type: 'completed' }>> {
  let last: GenerateEvent | undefined;
  for await (const event of generate(request, { out, guardrail: noGuardrail() })) last = event;
  if (last?.type !== 'completed') throw new Error(`generation ended with ${last?.type}`);
  return last;
}

/** Starts the command as a user would and waits for the end of its first sampler step. */
async function secondsToFirstStep(cwd: string): Promise<number> {
  const began = performance.now();
  const child = spawn(process.execPath, [cli, 'generate', PROMPT, '--json', '-o', join(cwd, 'runs')], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let at = Number.NaN;
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as GenerateEvent;
    if (event.type === 'step') {
      at = (performance.now() - began) / 1000 - event.secondsPerStep;
      break;
    }
  }
  child.kill();
  return at;
}
