// 3D consistency: still scenes under a moving camera. Does one rigid scene explain the video, can its cameras be recovered, are
// they where they should be, and can held-out frames be made again from their neighbours?
import { basename, extname, join } from 'node:path';
import { OrreryError } from '../../base/index.ts';
import { encodeMp4, type Frames, readFrames } from '../../media/index.ts';
import { constantVelocity, repeatLastFrame } from '../../motion/index.ts';
import type { Device } from '../../runtime/index.ts';
import { openRenderPool, type RenderPool } from '../../simulation/index.ts';
import { MATCHER } from '../geometry/features.ts';
import type { GeometryJob, GeometryResult } from '../geometry/measure.ts';
import { SYNTHESIS } from '../geometry/sfm/synthesis.ts';
import { POINT_TRACKER } from '../geometry/sfm/tracks.ts';
import { errorMap } from '../report/panels.ts';
import { type ClipRow, defined, type MetricInfo, type Results, summarise } from '../report/table.ts';
import { type PanelClip, writeReport } from '../report/write.ts';
import { tailOf } from '../tracking/objects.ts';
import { resizeClip, videosIn } from '../videos/pairs.ts';
import { openWorkerPool, type WorkerPool } from '../worker-pool.ts';
import { checkGiven, type OpenedModel, openModel, type Predictor } from './models.ts';
import { PUBLISHED_CONSISTENCY } from './published.ts';
import { type BenchmarkEvent, type ClipJob, comparedRows, openRun, runJobs, runName } from './runner.ts';
import { type StillClip, stillClip } from './still-scenes.ts';

export type ConsistencyOptions = {
  /** Model name or folder; `none` measures the truth and the baselines alone. */
  readonly model: string;
  readonly out: string;
  /** 12 clips instead of 48. */
  readonly quick?: boolean;
  /** Given frames, 1 or 9. Default 9. */
  readonly given?: number;
  readonly seeds?: number;
  /** Folder of other videos (real ones, or of other systems) to measure beside; their cameras are not known. */
  readonly videos?: string;
  readonly compare?: readonly string[];
  readonly device?: Device;
  readonly threads?: number;
  readonly signal?: AbortSignal;
};

const FIRST_SEED = 30_000_000;
/** Without a model. */
const STANDARD = { width: 256, height: 256, fps: 24, frames: 33 } as const;
/** Videos of others: this many frames, at most this many pixels on the longer side. */
const MOST_FRAMES = 33;
const MOST_SIDE = 512;

export const CONSISTENCY_METRICS: readonly MetricInfo[] = [
  { name: 'sampson', label: 'Sampson error', unit: 'px at 960×540', better: 'lower', digits: 3 },
  { name: 'pose-success', label: 'Cameras recovered', unit: 'share', better: 'higher', digits: 3 },
  { name: 'accurate', label: 'Recovered within 1° of the truth', unit: 'share', better: 'higher', digits: 3 },
  { name: 'rotation', label: 'Rotation error', unit: '°', better: 'lower', digits: 3 },
  { name: 'translation', label: 'Translation error', unit: 'of the way', better: 'lower', digits: 3 },
  { name: 'rpe', label: 'RPE rotation, step 1', unit: '°', better: 'lower', digits: 3 },
  { name: 'synthesis-psnr', label: 'View synthesis PSNR', unit: 'dB', better: 'higher', digits: 2 },
  { name: 'synthesis-ssim', label: 'View synthesis SSIM', unit: '', better: 'higher', digits: 3 },
  { name: 'blend-psnr', label: 'Mean of neighbours, PSNR', unit: 'dB', better: 'none', digits: 2 },
  { name: 'motion', label: 'Motion', unit: 'px/frame', better: 'none', digits: 2 },
  { name: 'registered', label: 'Frames placed', unit: 'share', better: 'higher', digits: 3 },
  { name: 'reprojection', label: 'Reprojection error', unit: 'px', better: 'lower', digits: 2 },
  { name: 'sampson-minimal', label: 'Sampson, unrefitted', unit: 'px at 960×540', better: 'lower', digits: 3 },
];

type World = {
  readonly pool: RenderPool;
  readonly geometry: WorkerPool<GeometryJob, GeometryResult>;
  readonly predictor: Predictor | undefined;
  readonly size: { readonly width: number; readonly height: number; readonly fps: number; readonly frames: number };
  readonly given: number;
  readonly out: string;
  readonly signal: AbortSignal | undefined;
};

/** Runs the benchmark; yields one event per clip and the results at the end. */
export async function* consistencyBenchmark(options: ConsistencyOptions): AsyncGenerator<BenchmarkEvent> {
  const { out, quick = false, given = 9, compare = [], signal } = options;
  const seeds = options.seeds ?? (quick ? 12 : 48);
  const files = options.videos === undefined ? [] : videosIn(options.videos);
  await using opened: OpenedModel = await openModel(options.model, options);
  const predictor = opened.model;
  const { width, height, fps, frames } = predictor ?? STANDARD;
  const size = { width, height, fps, frames };
  checkGiven(given, frames, predictor);
  const settings = {
    model: predictor?.name ?? 'none',
    given,
    firstScoredFrame: given,
    frames,
    width,
    height,
    fps,
    seeds,
    firstSeed: FIRST_SEED,
    matcher: MATCHER,
    pointTracker: POINT_TRACKER,
    videos: files.map((f) => basename(f)),
  };
  const workers = options.threads === undefined ? {} : { workers: options.threads };
  await using pool = openRenderPool(workers);
  await using geometry = openWorkerPool<GeometryJob, GeometryResult>('geometry/worker.js', workers);
  const world: World = { pool, geometry, predictor, size, given, out, signal };
  const jobs: ClipJob[] = Array.from({ length: seeds }, (_, i) => ({
    id: `still-${FIRST_SEED + i}`,
    run: () => scoreScene(FIRST_SEED + i, world),
  }));
  const compared = comparedRows(compare, 'consistency', settings, jobs);
  openRun(out, 'consistency', settings);
  const all = [...jobs, ...files.map((file, i): ClipJob => ({ id: `video-${i}`, run: () => scoreVideo(file, world) }))];
  yield { type: 'started', clips: all.length, model: settings.model, dir: out };
  const rows: ClipRow[] = [];
  let index = 0;
  for await (const done of runJobs(out, all, signal)) {
    rows.push(...done.rows);
    // The model where there is one, otherwise the truth or the video itself.
    const { sampson } = (done.rows.find((r) => r.system === 'model') ?? done.rows.at(-1)!).values;
    const text = sampson === null || sampson === undefined ? 'no value' : `Sampson ${sampson.toFixed(2)} px`;
    yield { type: 'clip', index: ++index, total: all.length, id: done.id, isReused: done.isReused, text };
  }
  const results = resultsOf([...rows, ...compared], settings, { compare, predictor, hasVideos: files.length > 0 });
  const clips = await shownClips(results, world);
  const report = await writeReport(out, results, clips, signal === undefined ? {} : { signal });
  yield { type: 'completed', results, files: report };
}

const clipName = (seed: number): string => `still-${seed}`;

/** Systems of a scene with their whole clips. */
async function systemsOf(seed: number, clip: StillClip, world: World): Promise<readonly [string, Frames][]> {
  const { predictor, given, size, out, signal } = world;
  const truth = clip.frames;
  const systems: [string, Frames][] = [];
  if (predictor !== undefined) {
    const made = await predictor.predict(truth, {
      given,
      caption: clip.caption,
      seed,
      ...(signal === undefined ? {} : { signal }),
    });
    const path = join(out, 'videos', `${clipName(seed)}.mp4`);
    await encodeMp4(made, { path, fps: size.fps, crf: 12, ...(signal === undefined ? {} : { signal }) });
    systems.push(['model', made]);
  }
  systems.push(['repeat-last-frame', await repeatLastFrame(truth, given, size.frames)]);
  systems.push(['constant-velocity', await constantVelocity(truth, given, size.frames)]);
  if (predictor !== undefined) systems.push(['tokenizer ceiling', await predictor.reconstruct(truth)]);
  systems.push(['truth', truth]);
  return systems;
}

async function scoreScene(seed: number, world: World): Promise<ClipRow[]> {
  const { given, geometry } = world;
  const clip = await stillClip(seed, world.pool, { ...world.size, ...(world.signal && { signal: world.signal }) });
  const systems = await systemsOf(seed, clip, world);
  // From the last given frame on: every system starts at the same place.
  return Promise.all(
    systems.map(async ([system, frames]): Promise<ClipRow> => {
      const video = new Uint8Array(frames.data);
      const each = video.length / frames.shape[0];
      video.set(clip.frames.data.subarray(0, given * each));
      const tail = tailOf({ ...frames, data: video }, given - 1);
      const got = await geometry.run({
        frames: { ...tail, data: tail.data.slice() },
        focal: clip.focal,
        truth: clip.poses.slice(given - 1),
      });
      return rowOf(got, { clip: clipName(seed), group: clip.move, system });
    }),
  );
}

/** A file that cannot be read has no values and says why: the others count all the same. */
async function scoreVideo(file: string, { geometry, signal }: World): Promise<ClipRow[]> {
  const name = { clip: basename(file, extname(file)), group: 'videos', system: 'videos' };
  let read: Frames;
  try {
    read = await readFrames(file, { maxFrames: MOST_FRAMES, ...(signal && { signal }) });
  } catch (error) {
    if (!(error instanceof OrreryError) || error.code !== 'data') throw error;
    return [
      { ...name, values: Object.fromEntries(CONSISTENCY_METRICS.map((m) => [m.name, null])), notes: [error.message] },
    ];
  }
  const { shape, data } = read;
  const [, height, width] = shape;
  const scale = Math.min(1, MOST_SIDE / Math.max(height, width));
  const whole: Frames = { dtype: 'u8', shape, data };
  const clip = scale === 1 ? whole : resizeClip(whole, Math.round(height * scale), Math.round(width * scale));
  return [rowOf(await geometry.run({ frames: clip }), name)];
}

function rowOf(got: GeometryResult, name: { clip: string; group: string; system: string }): ClipRow {
  const { sampson, errors, synthesis } = got;
  const hasPairs = sampson.pairs > 0;
  return {
    ...name,
    values: {
      sampson: hasPairs ? defined(sampson.mean) : null,
      'sampson-minimal': hasPairs ? defined(sampson.minimal) : null,
      motion: hasPairs ? defined(sampson.motion) : null,
      'pose-success': got.isSuccess ? 1 : 0,
      accurate: name.system === 'videos' ? null : errors !== undefined && errors.rotationDegrees <= 1 ? 1 : 0,
      registered: got.registered,
      reprojection: defined(got.reprojection),
      rotation: defined(errors?.rotationDegrees),
      translation: defined(errors?.translation),
      rpe: defined(errors?.rpeDegrees),
      'synthesis-psnr': defined(synthesis?.psnr),
      'synthesis-ssim': defined(synthesis?.ssim),
      'blend-psnr': defined(synthesis?.blendPsnr),
    },
    series: { sampson: sampson.perPair },
    notes: [
      ...(hasPairs ? [] : ['no pair of frames has 8 matches that fix a geometry']),
      ...(got.why === undefined ? [] : [`cameras: ${got.why}`]),
    ],
  };
}

function resultsOf(
  rows: readonly ClipRow[],
  settings: Readonly<Record<string, unknown>>,
  about: {
    readonly compare: readonly string[];
    readonly predictor: Predictor | undefined;
    readonly hasVideos: boolean;
  },
): Results {
  const { compare, predictor, hasVideos } = about;
  const isModel = predictor !== undefined;
  const systems = [
    ...(isModel ? ['model'] : []),
    ...compare.map(runName),
    'repeat-last-frame',
    'constant-velocity',
    ...(isModel ? ['tokenizer ceiling'] : []),
    'truth',
    ...(hasVideos ? ['videos'] : []),
  ];
  const { given, frames, width, height, fps, seeds } = settings as Record<string, number>;
  const floor = summarise(
    rows.filter((r) => r.system === 'truth'),
    'sampson',
  );
  return {
    benchmark: 'consistency',
    title: `3D consistency: ${predictor?.name ?? 'baselines'}, ${given} given ${given === 1 ? 'frame' : 'frames'}`,
    summary: `${seeds} still scenes of the simulator under a moving camera (round the scene, towards it, round and up), ${width}×${height} at ${fps} frames/s; ${frames! - given!} frames follow the given ones, which show how the camera moves. Matches: ${MATCHER}. Cameras: own structure from motion with known focal length (${POINT_TRACKER}; success: 90 % of the frames placed, mean reprojection error below 2 px). Views made again: ${SYNTHESIS}, every 8th frame held out.`,
    comparison:
      'A Sampson error below that of the truth is no win: little motion lowers it, so read it beside the motion. A frozen video has no recoverable cameras. Errors of cameras are means over the clips whose cameras were recovered; read them beside that share. The published figures come from real rooms, learned matches, COLMAP and 3D gaussians: orientation only.',
    settings,
    facts: [
      {
        name: 'Sampson error of ground-truth clips, the floor',
        value: floor.mean,
        unit: 'px at 960×540',
        note: MATCHER,
      },
      ...(isModel ? [{ name: 'model parameters', value: predictor.parameters }] : []),
    ],
    systems,
    metrics: CONSISTENCY_METRICS,
    rows,
    published: PUBLISHED_CONSISTENCY,
  };
}

const SHOWN = 3;

/** Clips with the least and the largest Sampson error. */
async function shownClips(results: Results, world: World): Promise<PanelClip[]> {
  const { predictor, given, size, out } = world;
  const system = predictor === undefined ? 'constant-velocity' : 'model';
  const ranked = results.rows
    .filter((r) => r.system === system && typeof r.values.sampson === 'number')
    .sort((a, b) => a.values.sampson! - b.values.sampson!);
  const best = ranked.slice(0, SHOWN);
  const worst = ranked.slice(SHOWN).reverse().slice(0, SHOWN);
  const clips: PanelClip[] = [];
  for (const row of [...best, ...worst]) {
    const seed = Number(row.clip.replace('still-', ''));
    const clip = await stillClip(seed, world.pool, size);
    const made =
      predictor === undefined
        ? await constantVelocity(clip.frames, given, size.frames)
        : await readFrames(join(out, 'videos', `${row.clip}.mp4`));
    const shown: Frames = { dtype: 'u8', shape: clip.frames.shape, data: made.data };
    const { sampson, rotation } = row.values;
    clips.push({
      heading: `${row.group}, ${row.clip}`,
      caption: `Sampson error ${sampson!.toFixed(3)} px; ${typeof rotation === 'number' ? `rotation error ${rotation.toFixed(2)}°` : (row.notes ?? []).join('; ')}. The first ${given} frames are given. Caption: ${clip.caption}`,
      isBest: best.includes(row),
      fps: size.fps,
      panels: [
        { label: 'truth', frames: clip.frames },
        { label: system, frames: shown },
        { label: 'error', frames: errorMap(clip.frames, shown) },
      ],
    });
  }
  return clips;
}
