// Speed of a world model: time to the first frames, frames per second, memory, and joules where the machine tells them.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Frames } from '../../media/index.ts';
import type { Device } from '../../runtime/index.ts';
import { openPredictor } from './models.ts';

export type SpeedOptions = {
  readonly model: string;
  /** Whole clips to make; the first warms up and does not count. Default 3. */
  readonly clips?: number;
  readonly device?: Device;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

export type SpeedResult = {
  readonly model: string;
  readonly parameters: number;
  /** Seconds from nothing to a loaded model. */
  readonly loadSeconds: number;
  /** Seconds from a loaded model to the first finished clip, warm-up included. */
  readonly firstClipSeconds: number;
  /** New frames per second over the later clips. */
  readonly framesPerSecond: number;
  /** Largest resident memory of the process so far, bytes. */
  readonly peakBytes: number;
  /** Per new frame over the later clips; null where the machine does not tell (no powercap counters, or no right to read them). */
  readonly joulesPerFrame: number | null;
};

/** Measures one model with the most given frames that it knows. Other work on the machine falsifies the figures. */
export async function speedBenchmark(options: SpeedOptions): Promise<SpeedResult> {
  const { model, clips = 3, signal } = options;
  const began = performance.now();
  await using predictor = await openPredictor(model, options);
  const loaded = performance.now();
  const given = Math.max(...predictor.conditions);
  const fresh = predictor.frames - given;
  const each = predictor.width * predictor.height * 3;
  const clip: Frames = {
    dtype: 'u8',
    shape: [predictor.frames, predictor.height, predictor.width, 3],
    data: Uint8Array.from(
      { length: predictor.frames * each },
      (_, i) => ((i % each) * 7 + Math.floor(i / each) * 3) % 200,
    ),
  };
  const make = (seed: number): Promise<Frames> =>
    predictor.predict(clip, {
      given,
      caption: 'a red ball rolls on a wooden floor',
      seed,
      ...(signal === undefined ? {} : { signal }),
    });
  await make(1);
  const first = performance.now();
  const before = joules();
  for (let i = 1; i < clips; i++) await make(i + 1);
  const seconds = (performance.now() - first) / 1000;
  const after = joules();
  const frames = fresh * Math.max(0, clips - 1);
  return {
    model: predictor.name,
    parameters: predictor.parameters,
    loadSeconds: (loaded - began) / 1000,
    firstClipSeconds: (first - loaded) / 1000,
    framesPerSecond: frames === 0 ? fresh / ((first - loaded) / 1000) : frames / seconds,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    joulesPerFrame:
      before === null || after === null || frames === 0 || after < before ? null : (after - before) / frames,
  };
}

const POWERCAP = '/sys/class/powercap';

/** Sum of the energy counters of all processor packages, joules; null when they cannot be read. */
function joules(): number | null {
  try {
    const packages = readdirSync(POWERCAP).filter((name) => /^intel-rapl:\d+$/.test(name));
    if (packages.length === 0) return null;
    return packages.reduce((s, name) => s + Number(readFileSync(join(POWERCAP, name, 'energy_uj'), 'utf8')) / 1e6, 0);
  } catch {
    // Not there, or only for the administrator: the figure is reported as not readable.
    return null;
  }
}
