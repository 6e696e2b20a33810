// Prompt following: a model makes a video from a sentence alone; a probe reads colours, shapes, count and motion back. The same
// probe on the true video of the sentence is the ceiling, on the video of another sentence the floor.
import { join } from 'node:path';
import { InputError } from '../../base/index.ts';
import { encodeMp4, type Frames, readFrames } from '../../media/index.ts';
import type { Device } from '../../runtime/index.ts';
import {
  captionOf,
  openRenderPool,
  positionAt,
  type RenderPool,
  type Scene,
  simulateClip,
  type Trajectory,
} from '../../simulation/index.ts';
import {
  type Attributes,
  agreement,
  type LabelledFrame,
  learnProbe,
  type Probe,
  readClip,
  type SeenThing,
} from '../probe/probe.ts';
import { type ClipRow, type MetricInfo, type Results, summarise } from '../report/table.ts';
import { type PanelClip, writeReport } from '../report/write.ts';
import { type OpenedModel, openModel, type Predictor } from './models.ts';
import { type BenchmarkEvent, type ClipJob, comparedRows, keepNewest, openRun, runJobs, runName } from './runner.ts';

export type PromptsOptions = {
  /** Model name or folder; `none` measures the probe alone. */
  readonly model: string;
  readonly out: string;
  /** 24 sentences instead of 96. */
  readonly quick?: boolean;
  readonly seeds?: number;
  readonly compare?: readonly string[];
  readonly device?: Device;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

const FIRST_SEED = 40_000_000;
/** Seeds that the probe learns from. */
const LEARN_SEED = 41_000_000;
const LEARN_CLIPS = 60;
const STANDARD = { width: 128, height: 128, fps: 24, frames: 33 } as const;
/** Metres that an object must go for the clip to count as moving. */
const MOVES = 0.05;

export const PROMPT_METRICS: readonly MetricInfo[] = [
  { name: 'all', label: 'All attributes right', unit: 'share', better: 'higher', digits: 3 },
  { name: 'count', label: 'Count right', unit: 'share', better: 'higher', digits: 3 },
  { name: 'color', label: 'Colours right', unit: 'share', better: 'higher', digits: 3 },
  { name: 'shape', label: 'Shapes right', unit: 'share', better: 'higher', digits: 3 },
  { name: 'motion', label: 'Motion right', unit: 'share', better: 'higher', digits: 3 },
];

type Size = { readonly width: number; readonly height: number; readonly fps: number; readonly frames: number };
type World = {
  readonly pool: RenderPool;
  readonly predictor: Predictor | undefined;
  readonly size: Size;
  readonly out: string;
  readonly seeds: number;
  readonly signal: AbortSignal | undefined;
  /** Learnt when the first clip needs it. */
  readonly probe: () => Promise<Probe>;
  /** By seed. */
  readonly trueClip: (seed: number) => Promise<TrueClip>;
};

/** Runs the benchmark; yields one event per sentence and the results at the end. */
export async function* promptsBenchmark(options: PromptsOptions): AsyncGenerator<BenchmarkEvent> {
  const { out, quick = false, compare = [], signal } = options;
  const seeds = options.seeds ?? (quick ? 24 : 96);
  await using opened: OpenedModel = await openModel(options.model, options);
  const predictor = opened.model;
  if (predictor !== undefined && !predictor.conditions.includes(0)) {
    throw new InputError('--model', { got: predictor.name, need: 'a model that makes video from a sentence alone' });
  }
  const { width, height, fps, frames } = predictor ?? STANDARD;
  const size = { width, height, fps, frames };
  const settings = {
    model: predictor?.name ?? 'none',
    world: 'table',
    frames,
    width,
    height,
    fps,
    seeds,
    firstSeed: FIRST_SEED,
    probeClips: LEARN_CLIPS,
  };
  await using pool = openRenderPool(options.threads === undefined ? {} : { workers: options.threads });
  let probe: Promise<Probe> | undefined;
  const world: World = {
    pool,
    predictor,
    size,
    out,
    seeds,
    signal,
    probe: () => {
      probe ??= teach(pool, size, signal);
      return probe;
    },
    // The other clip of a sentence is the true one of the next.
    trueClip: keepNewest(
      (seed) => seed,
      (seed) => renderTrueClip(seed, { pool, size, signal }),
    ),
  };
  const jobs: ClipJob[] = Array.from({ length: seeds }, (_, i) => ({
    id: `prompt-${FIRST_SEED + i}`,
    run: () => scorePrompt(i, world),
  }));
  const compared = comparedRows(compare, 'prompts', settings, jobs);
  openRun(out, 'prompts', settings);
  yield { type: 'started', clips: jobs.length, model: settings.model, dir: out };
  const rows: ClipRow[] = [];
  let index = 0;
  for await (const done of runJobs(out, jobs, signal)) {
    rows.push(...done.rows);
    const text = done.rows[0]!.values.all === 1 ? 'right' : 'not all right';
    yield { type: 'clip', index: ++index, total: jobs.length, id: done.id, isReused: done.isReused, text };
  }
  const results = resultsOf([...rows, ...compared], settings, compare, predictor);
  const clips = await shownClips(results, world);
  const files = await writeReport(out, results, clips, signal === undefined ? {} : { signal });
  yield { type: 'completed', results, files };
}

type TrueClip = {
  readonly frames: Frames;
  readonly caption: string;
  readonly wanted: Attributes;
};

async function renderTrueClip(
  seed: number,
  { pool, size, signal }: Pick<World, 'pool' | 'size' | 'signal'>,
): Promise<TrueClip> {
  const { scene, trajectory } = await simulateClip('table', seed, { ...size, ...(signal && { signal }) });
  const view = await pool.render(scene, trajectory, signal === undefined ? {} : { signal });
  return {
    frames: { dtype: 'u8', shape: [size.frames, size.height, size.width, 3], data: Uint8Array.from(view.rgb) },
    caption: captionOf(scene, trajectory, { outcome: false }),
    wanted: { things: [...thingsOf(scene).values()], isMoving: isMoving(scene, trajectory) },
  };
}

/** Colour and shape of the dynamic bodies. Materials of the table world are named after thing and colour. */
function thingsOf(scene: Scene): Map<number, SeenThing> {
  return new Map(
    scene.bodies
      .filter((b) => b.kind === 'dynamic')
      .map((b) => [b.id, { color: b.parts[0]!.material.split('_').pop()!, shape: b.class }]),
  );
}

function isMoving(scene: Scene, trajectory: Trajectory): boolean {
  return scene.bodies
    .filter((b) => b.kind === 'dynamic')
    .some((b) => {
      const start = positionAt(trajectory, 0, b.id);
      return Array.from({ length: trajectory.frames }, (_, f) => positionAt(trajectory, f, b.id)).some(
        (p) => Math.hypot(p[0] - start[0], p[1] - start[1], p[2] - start[2]) > MOVES,
      );
    });
}

async function teach(pool: RenderPool, size: Size, signal: AbortSignal | undefined): Promise<Probe> {
  const frames: LabelledFrame[] = [];
  for (let i = 0; i < LEARN_CLIPS; i++) {
    const { scene, trajectory } = await simulateClip('table', LEARN_SEED + i, { ...size, ...(signal && { signal }) });
    // One frame is enough to learn from: only it is rendered.
    const view = await pool.render(scene, trajectory, {
      channels: ['instance'],
      range: [0, 1],
      ...(signal && { signal }),
    });
    frames.push({
      rgb: Uint8Array.from(view.rgb),
      instance: Uint16Array.from(view.instance!),
      things: thingsOf(scene),
      size: { height: size.height, width: size.width },
    });
  }
  return learnProbe(frames);
}

const clipName = (i: number): string => `prompt-${FIRST_SEED + i}`;

async function scorePrompt(i: number, world: World): Promise<ClipRow[]> {
  const { predictor, seeds, size, out, signal } = world;
  const probe = await world.probe();
  const clip = await world.trueClip(FIRST_SEED + i);
  const other = await world.trueClip(FIRST_SEED + ((i + 1) % Math.max(2, seeds)));
  const systems: [string, Frames][] = [];
  if (predictor !== undefined) {
    const made = await predictor.predict(clip.frames, {
      given: 0,
      caption: clip.caption,
      seed: FIRST_SEED + i,
      ...(signal && { signal }),
    });
    const path = join(out, 'videos', `${clipName(i)}.mp4`);
    await encodeMp4(made, { path, fps: size.fps, crf: 12, ...(signal && { signal }) });
    systems.push(['model', made]);
  }
  systems.push(['video of another sentence', other.frames], ['truth', clip.frames]);
  return systems.map(([system, frames]) => {
    const seen = readClip(probe, frames);
    const words = seen.things.map((t) => `${t.color} ${t.shape}`).join(', ') || 'nothing';
    return {
      clip: clipName(i),
      group: `${clip.wanted.things.length} ${clip.wanted.things.length === 1 ? 'object' : 'objects'}`,
      system,
      values: agreement(seen, clip.wanted),
      notes: [`read: ${words}, ${seen.isMoving ? 'moving' : 'still'}; sentence: ${clip.caption}`],
    };
  });
}

function resultsOf(
  rows: readonly ClipRow[],
  settings: Readonly<Record<string, unknown>>,
  compare: readonly string[],
  predictor: Predictor | undefined,
): Results {
  const systems = [
    ...(predictor === undefined ? [] : ['model']),
    ...compare.map(runName),
    'video of another sentence',
    'truth',
  ];
  const truth = rows.filter((r) => r.system === 'truth');
  return {
    benchmark: 'prompts',
    title: `Prompt following: ${predictor?.name ?? 'the probe alone'}`,
    summary: `${settings.seeds} sentences about clips of the table world (one to three balls, boxes or cylinders in eight colours). The model makes ${settings.frames} frames from the sentence alone. A probe reads colours, shapes, count and motion back; objects are what most looked-at frames agree on.`,
    comparison:
      'Read the model between two rows: "truth" is how often the probe is right on the true video of the sentence, "video of another sentence" what a model that ignores its prompt would get. The probe knows this world only: figures of other systems on other prompts cannot be compared.',
    settings,
    facts: PROMPT_METRICS.map((m) => ({
      name: `accuracy of the probe on true video: ${m.label.toLowerCase()}`,
      value: summarise(truth, m.name).mean,
    })),
    systems,
    metrics: PROMPT_METRICS,
    rows,
  };
}

const SHOWN = 3;

async function shownClips(results: Results, world: World): Promise<PanelClip[]> {
  if (world.predictor === undefined) return [];
  const sum = (r: ClipRow): number => Object.values(r.values).reduce<number>((s, v) => s + (v ?? 0), 0);
  const ranked = results.rows.filter((r) => r.system === 'model').sort((a, b) => sum(b) - sum(a));
  const best = ranked.slice(0, SHOWN);
  const worst = ranked.slice(SHOWN).reverse().slice(0, SHOWN);
  const clips: PanelClip[] = [];
  for (const row of [...best, ...worst]) {
    const clip = await world.trueClip(Number(row.clip.replace('prompt-', '')));
    const made = await readFrames(join(world.out, 'videos', `${row.clip}.mp4`));
    clips.push({
      heading: row.clip,
      caption: (row.notes ?? []).join('; '),
      isBest: best.includes(row),
      fps: world.size.fps,
      panels: [
        { label: 'model', frames: { dtype: 'u8', shape: clip.frames.shape, data: made.data } },
        { label: 'true clip of the sentence', frames: clip.frames },
      ],
    });
  }
  return clips;
}
