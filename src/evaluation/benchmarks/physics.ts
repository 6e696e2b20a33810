// Physics alignment: eight scenarios from our simulator, a model goes on from given frames, and pixels, objects and conservation
// are compared with what really happens. Baselines, the tokenizer's ceiling and the tracker's own quality stand beside it.
import { join } from 'node:path';
import { encodeMp4, type Frames, readFrames } from '../../media/index.ts';
import { constantVelocity, repeatLastFrame } from '../../motion/index.ts';
import type { Device } from '../../runtime/index.ts';
import {
  BENCHMARK_SCENARIOS,
  captionOf,
  openRenderPool,
  positionAt,
  type RenderPool,
  type Scene,
  type SimulatedClip,
  simulateClip,
  toCamera,
} from '../../simulation/index.ts';
import { mean, meanSquaredErrors, psnrPicture } from '../metrics/psnr.ts';
import { ssimUniform } from '../metrics/ssim.ts';
import { errorMap } from '../report/panels.ts';
import { type ClipRow, defined, type MetricInfo, meanSeries, type Results, summarise } from '../report/table.ts';
import { type PanelClip, writeReport } from '../report/write.ts';
import {
  conservation,
  LEAST_START,
  LEAST_VISIBLE,
  labelMaps,
  objectIou,
  scaledArea,
  tailOf,
} from '../tracking/objects.ts';
import { TRACKER } from '../tracking/tracker.ts';
import type { TrackJob } from '../tracking/worker.ts';
import { openWorkerPool, type WorkerPool } from '../worker-pool.ts';
import { checkGiven, type OpenedModel, openModel, type Predictor } from './models.ts';
import { PUBLISHED_PHYSICS } from './published.ts';
import { type BenchmarkEvent, type ClipJob, comparedRows, keepNewest, openRun, runJobs, runName } from './runner.ts';

export type PhysicsOptions = {
  /** Model name or folder; `none` measures the baselines alone. */
  readonly model: string;
  /** Folder of the run; the same command goes on with it. */
  readonly out: string;
  /** 64 clips: eight scenes per scenario, one camera each in turn. Default: 25 scenes × 4 cameras × 8 scenarios. */
  readonly quick?: boolean;
  /** Given frames, 1 or 9. Default 9. */
  readonly given?: number;
  /** Scenes per scenario. */
  readonly seeds?: number;
  /** Folders of other runs to show beside. */
  readonly compare?: readonly string[];
  readonly device?: Device;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

/** Seeds of benchmark scenes start here, far from those of training recipes. */
const FIRST_SEED = 20_000_000;
const CAMERAS = 4;

export const PHYSICS_METRICS: readonly MetricInfo[] = [
  { name: 'psnr', label: 'PSNR per frame', unit: 'dB', better: 'higher', digits: 2 },
  { name: 'ssim', label: 'SSIM, uniform 7×7', unit: '', better: 'higher', digits: 3 },
  { name: 'iou', label: 'Object IoU', unit: '', better: 'higher', digits: 3 },
  { name: 'permanence', label: 'Objects that persist', unit: 'share', better: 'higher', digits: 3 },
  { name: 'size-change', label: 'Size change', unit: '|ln area|', better: 'lower', digits: 3 },
  { name: 'overlap', label: 'Overlap of objects', unit: 'share', better: 'none', digits: 3 },
  { name: 'energy-rise', label: 'Energy rise', unit: 'J/kg', better: 'none', digits: 2 },
];

type Plan = {
  readonly id: string;
  readonly scenario: (typeof BENCHMARK_SCENARIOS)[number];
  readonly seed: number;
  readonly camera: number;
};

function planOf(seeds: number, isQuick: boolean): Plan[] {
  const out: Plan[] = [];
  for (let s = 0; s < seeds; s++) {
    for (const scenario of BENCHMARK_SCENARIOS) {
      for (let camera = 0; camera < CAMERAS; camera++) {
        if (isQuick && camera !== s % CAMERAS) continue;
        const seed = FIRST_SEED + s;
        out.push({ id: `${scenario}-${seed}-view${camera}`, scenario, seed, camera });
      }
    }
  }
  return out;
}

/** Size and rate of the clips when no model says otherwise. */
const STANDARD = { width: 128, height: 128, fps: 12, frames: 33 } as const;

type Truth = {
  readonly clip: Frames;
  readonly labels: readonly Uint8Array[];
  readonly objects: number;
  readonly caption: string;
  readonly metresPerPixel: readonly number[];
  readonly gravity: number;
};

/** Runs the benchmark; yields one event per clip and the results at the end. */
export async function* physicsBenchmark(options: PhysicsOptions): AsyncGenerator<BenchmarkEvent> {
  const { out, quick = false, given = 9, compare = [], signal } = options;
  const seeds = options.seeds ?? (quick ? 8 : 25);
  await using opening: OpenedModel = await openModel(options.model, options);
  const opened = opening.model;
  const size = opened ?? STANDARD;
  const { width, height, fps, frames } = size;
  checkGiven(given, frames, opened);
  const settings = {
    model: opened === undefined ? 'none' : opened.name,
    given,
    firstScoredFrame: given,
    frames,
    width,
    height,
    fps,
    seeds,
    quick,
    firstSeed: FIRST_SEED,
    tracker: TRACKER,
  };
  const plans = planOf(seeds, quick);
  await using pool = openRenderPool(options.threads === undefined ? {} : { workers: options.threads });
  await using trackers = openWorkerPool<TrackJob, Uint8Array[]>(
    'tracking/worker.js',
    options.threads === undefined ? {} : { workers: options.threads },
  );
  const world: World = {
    pool,
    trackers,
    // The cameras of a scene come one after the other.
    simulate: keepNewest(
      ({ scenario, seed }) => `${scenario} ${seed}`,
      ({ scenario, seed }) => simulateClip(scenario, seed, { width, height, fps, frames, ...(signal && { signal }) }),
    ),
    predictor: opened,
    size,
    given,
    out,
    signal,
  };
  const jobs: ClipJob[] = plans.map((plan) => ({ id: plan.id, run: () => scoreClip(plan, world) }));
  const compared = comparedRows(compare, 'physics', settings, jobs);
  openRun(out, 'physics', settings);
  yield { type: 'started', clips: jobs.length, model: settings.model, dir: out };
  const rows: ClipRow[] = [];
  let index = 0;
  for await (const done of runJobs(out, jobs, signal)) {
    rows.push(...done.rows);
    const own = done.rows.find((r) => r.system === (opened === undefined ? 'constant-velocity' : 'model'));
    yield {
      type: 'clip',
      index: ++index,
      total: jobs.length,
      id: done.id,
      isReused: done.isReused,
      text: decibels(own?.values.psnr),
    };
  }
  const results = resultsOf([...rows, ...compared], settings, compare, opened);
  const clips = await shownClips(results, plans, world);
  const files = await writeReport(out, results, clips, signal === undefined ? {} : { signal });
  yield { type: 'completed', results, files };
}

/** `24.1 dB`, or that there is no value. */
export const decibels = (psnr: number | null | undefined): string =>
  psnr === null || psnr === undefined ? 'no value' : `${psnr.toFixed(1)} dB`;

type World = {
  readonly pool: RenderPool;
  readonly trackers: WorkerPool<TrackJob, Uint8Array[]>;
  readonly simulate: (plan: Pick<Plan, 'scenario' | 'seed'>) => Promise<SimulatedClip>;
  readonly predictor: Predictor | undefined;
  readonly size: { readonly width: number; readonly height: number; readonly fps: number; readonly frames: number };
  readonly given: number;
  readonly out: string;
  readonly signal: AbortSignal | undefined;
};

/** Simulates and renders the truth of a clip with the masks of its objects of interest. */
async function truthOf(plan: Plan, world: World): Promise<Truth> {
  const { pool, size, given, signal } = world;
  const { scene, trajectory } = await world.simulate(plan);
  const view = await pool.render(scene, trajectory, {
    camera: plan.camera,
    channels: ['instance'],
    ...(signal === undefined ? {} : { signal }),
  });
  const pixels = size.width * size.height;
  const instance = view.instance!;
  const least = scaledArea(LEAST_START, size.width, size.height);
  const area = new Map<number, number>();
  for (let p = (given - 1) * pixels; p < given * pixels; p++) area.set(instance[p]!, (area.get(instance[p]!) ?? 0) + 1);
  const bodies = scene.bodies.filter((b) => b.kind === 'dynamic' && (area.get(b.id) ?? 0) >= least);
  const camera = scene.cameras[plan.camera]!;
  return {
    clip: { dtype: 'u8', shape: [size.frames, size.height, size.width, 3], data: Uint8Array.from(view.rgb) },
    labels: labelMaps(
      instance,
      size.frames,
      pixels,
      bodies.map((b) => b.id),
    ),
    objects: bodies.length,
    caption: captionOf(scene, trajectory, { outcome: false }),
    metresPerPixel: bodies.map(
      (b) => toCamera(camera, given - 1, positionAt(trajectory, given - 1, b.id))[2] / camera.fy,
    ),
    gravity: gravityOf(scene),
  };
}

const gravityOf = (scene: Scene): number => Math.hypot(...scene.gravity);

const videoPath = (out: string, id: string): string => join(out, 'videos', `${id}.mp4`);

async function scoreClip(plan: Plan, world: World): Promise<ClipRow[]> {
  const { predictor, given, size, out, signal } = world;
  const truth = await truthOf(plan, world);
  const systems: [string, Frames][] = [];
  if (predictor !== undefined) {
    const made = await predictor.predict(truth.clip, {
      given,
      caption: truth.caption,
      seed: plan.seed,
      ...(signal === undefined ? {} : { signal }),
    });
    await encodeMp4(made, {
      path: videoPath(out, plan.id),
      fps: size.fps,
      crf: 12,
      ...(signal === undefined ? {} : { signal }),
    });
    systems.push(['model', made]);
  }
  systems.push(['repeat-last-frame', await repeatLastFrame(truth.clip, given, size.frames)]);
  systems.push(['constant-velocity', await constantVelocity(truth.clip, given, size.frames)]);
  if (predictor !== undefined) systems.push(['tokenizer ceiling', await predictor.reconstruct(truth.clip)]);
  // What the tracker makes of the true video: the ceiling of IoU and the floor of the conservation checks.
  systems.push(['truth', truth.clip]);
  return Promise.all(systems.map(([system, clip]) => rowOf(plan, system, clip, truth, world)));
}

async function rowOf(plan: Plan, system: string, clip: Frames, truth: Truth, world: World): Promise<ClipRow> {
  const { given, size, trackers } = world;
  const each = size.width * size.height * 3;
  const a = tailOf(truth.clip, given);
  const b = tailOf(clip, given);
  const values: Record<string, number | null> = {};
  const series: Record<string, readonly (number | null)[]> = {};
  const notes: string[] = [];
  if (system !== 'truth') {
    const frames = a.shape[0];
    series.psnr = Array.from(meanSquaredErrors(a.data, b.data, frames), psnrPicture);
    series.ssim = Array.from({ length: frames }, (_, t) =>
      ssimUniform(a.data.subarray(t * each, (t + 1) * each), b.data.subarray(t * each, (t + 1) * each), {
        ...size,
        channels: 3,
      }),
    );
    values.psnr = defined(mean(series.psnr as number[]));
    values.ssim = defined(mean(series.ssim as number[]));
  }
  if (truth.objects === 0) notes.push('no object of interest is large enough in this view');
  else {
    // The given frames are known: every system's video starts with the true ones.
    const video = new Uint8Array(clip.data);
    video.set(truth.clip.data.subarray(0, given * each));
    const labels = await trackers.run({
      frames: { ...clip, data: video },
      given: truth.labels.slice(0, given),
      objects: truth.objects,
    });
    const leastVisible = scaledArea(LEAST_VISIBLE, size.width, size.height);
    const iou = objectIou(truth.labels, labels, { objects: truth.objects, from: given, leastVisible });
    values.iou = iou.mean;
    series.iou = iou.series;
    const kept = conservation(labels, {
      objects: truth.objects,
      from: given,
      width: size.width,
      fps: size.fps,
      gravity: truth.gravity,
      metresPerPixel: truth.metresPerPixel,
    });
    values.permanence = kept.permanence;
    values['size-change'] = kept.sizeChange;
    values.overlap = kept.overlap;
    values['energy-rise'] = kept.energyRise;
  }
  return {
    clip: plan.id,
    group: plan.scenario,
    cluster: `${plan.scenario}-${plan.seed}`,
    system,
    values,
    series,
    notes,
  };
}

function resultsOf(
  rows: readonly ClipRow[],
  settings: Readonly<Record<string, unknown>>,
  compare: readonly string[],
  model: Predictor | undefined,
): Results {
  const systems = [
    ...(model === undefined ? [] : ['model']),
    ...compare.map(runName),
    'repeat-last-frame',
    'constant-velocity',
    ...(model === undefined ? [] : ['tokenizer ceiling']),
    'truth',
  ];
  const tracker = summarise(
    rows.filter((r) => r.system === 'truth'),
    'iou',
  );
  const { given, frames, width, height, fps, seeds, quick } = settings as Record<string, number | boolean>;
  return {
    benchmark: 'physics',
    title: `Physics alignment: ${model?.name ?? 'baselines'}, ${given} given ${given === 1 ? 'frame' : 'frames'}`,
    summary: `Eight scenarios, ${seeds} scenes each${quick === true ? ', one of four cameras per scene' : ', four cameras'}, ${width}×${height} at ${fps} frames/s. The model sees ${given} true frames and a caption that does not tell the outcome; the following ${Number(frames) - Number(given)} frames are scored, the given ones never. Object masks start from the true ones and are tracked in the generated video (${TRACKER}).`,
    comparison:
      'Compare with the baselines in this table and with runs of the same settings. The published figures below come from other scenes, renderer, resolution, length and tracker: they show the order of magnitude and cannot be compared digit by digit. One sample per clip; a frozen video scores well on PSNR and permanence, so read the columns together. Overlap and energy rise have no direction of their own: the row "truth" shows what they are in reality, cameras and tracker included.',
    settings,
    facts: [
      {
        name: 'tracker IoU on ground-truth video',
        value: tracker.mean,
        note: `${TRACKER}; objects of at least ${LEAST_START} px at 128×128 when tracking starts`,
      },
      ...(model === undefined ? [] : [{ name: 'model parameters', value: model.parameters }]),
      ...movingScenes(rows, model),
      ...firstFrames(rows, model),
    ],
    systems,
    metrics: PHYSICS_METRICS,
    rows,
    published: PUBLISHED_PHYSICS,
  };
}

/** PSNR without the stable stack, where nothing moves and a held frame is perfect (100 dB, which lifts every mean). */
function movingScenes(
  rows: readonly ClipRow[],
  model: Predictor | undefined,
): { name: string; value: number | null; unit: string }[] {
  return [...(model === undefined ? [] : ['model']), 'repeat-last-frame', 'constant-velocity'].map((system) => ({
    name: `PSNR of the seven scenarios in which something moves, ${system}`,
    value: summarise(
      rows.filter((r) => r.system === system && r.group !== 'stable_stack'),
      'psnr',
    ).mean,
    unit: 'dB',
  }));
}

/** PSNR of the first eight predicted frames, where short-range motion decides. */
function firstFrames(
  rows: readonly ClipRow[],
  model: Predictor | undefined,
): { name: string; value: number | null; unit: string }[] {
  return [...(model === undefined ? [] : ['model']), 'repeat-last-frame', 'constant-velocity'].map((system) => {
    const first = meanSeries(
      rows.filter((r) => r.system === system),
      'psnr',
    )
      .slice(0, 8)
      .filter((v) => v !== null);
    return {
      name: `PSNR of the first 8 predicted frames, ${system}`,
      value: first.length === 0 ? null : mean(first),
      unit: 'dB',
    };
  });
}

const SHOWN = 3;

/** Best and worst clips of the model by IoU gain over holding still, at most one per scenario at each end. */
async function shownClips(results: Results, plans: readonly Plan[], world: World): Promise<PanelClip[]> {
  const { given, size, predictor, out } = world;
  const system = predictor === undefined ? 'constant-velocity' : 'model';
  const gain = (row: ClipRow): number => {
    const held = results.rows.find((r) => r.clip === row.clip && r.system === 'repeat-last-frame')!;
    return (row.values.psnr ?? 0) - (held.values.psnr ?? 0);
  };
  const ranked = results.rows.filter((r) => r.system === system).sort((a, b) => gain(b) - gain(a));
  const pick = (list: readonly ClipRow[]): ClipRow[] => {
    const groups = new Set<string>();
    return list.filter((r) => !groups.has(r.group) && groups.size < SHOWN && groups.add(r.group));
  };
  const best = pick(ranked);
  const worst = pick([...ranked].reverse()).filter((r) => !best.includes(r));
  const clips: PanelClip[] = [];
  for (const row of [...best, ...worst]) {
    const truth = await truthOf(plans.find((p) => p.id === row.clip)!, world);
    const cv = await constantVelocity(truth.clip, given, size.frames);
    const made = predictor === undefined ? cv : await readFrames(videoPath(out, row.clip));
    const shown: Frames = { dtype: 'u8', shape: truth.clip.shape, data: made.data };
    const { psnr, iou } = row.values;
    clips.push({
      heading: `${row.group}, ${row.clip}`,
      caption: `PSNR ${psnr?.toFixed(2) ?? '–'} dB, ${gain(row) >= 0 ? '+' : ''}${gain(row).toFixed(2)} over holding the last frame; object IoU ${iou?.toFixed(3) ?? '–'}. The first ${given} frames are given. Caption: ${truth.caption}`,
      isBest: best.includes(row),
      fps: size.fps,
      panels: [
        { label: 'truth', frames: truth.clip },
        { label: system, frames: shown },
        ...(predictor === undefined ? [] : [{ label: 'constant velocity', frames: cv }]),
        { label: 'error', frames: errorMap(truth.clip, shown) },
      ],
    });
  }
  return clips;
}
