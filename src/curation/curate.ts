// `curate(input, out)`: a folder of raw video in, clips, tables and a summary out, as a stream of typed events. The same
// call continues a job that was stopped in any way.
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { InputError, OrreryError, throwIfAborted } from '../base/index.ts';
import { diskError, isLerobot, makeFolder } from '../formats/index.ts';
import { openBackend as openMedia } from '../media/index.ts';
import type { DeadLetter, Result } from './engine/backend.ts';
import { openEmbedded } from './engine/embedded.ts';
import { openIsolated } from './engine/isolated.ts';
import { runPipeline, type StageProgress } from './engine/pipeline.ts';
import type { Stage, Unit } from './engine/stage.ts';
import { checkNesting, type Discovered, discover } from './ingest/discover.ts';
import { lerobotVideos } from './ingest/lerobot.ts';
import { isMcap, mcapVideos } from './ingest/mcap.ts';
import { asSessions } from './ingest/sessions.ts';
import { finishJob, type JobSummary, readJob } from './layout/finish.ts';
import { writeReport } from './layout/report.ts';
import { openCoordinator } from './nats/coordinator.ts';
import { type CurateOptions, curateSchema, parseCurateOptions } from './options.ts';
import { uuid5 } from './pass/ids.ts';
import type { PassOptions, VideoUnit } from './pass/job.ts';
import type { PassOutput } from './pass/worker.ts';
import { aestheticStage } from './stages/aesthetic.ts';
import { captionStage } from './stages/caption.ts';
import { describeStage } from './stages/describe.ts';
import { embedStage } from './stages/embed.ts';
import { previewStage } from './stages/preview.ts';
import { checkTypes, typeStage } from './stages/types.ts';
import { writeStage } from './stages/write.ts';

/** What a job tells. */
export type CurateEvent =
  | {
      readonly type: 'start';
      readonly videos: number;
      readonly skipped: number;
      readonly resumed: number;
      readonly job?: string;
    }
  | {
      readonly type: 'progress';
      readonly stages: readonly StageProgress[];
      readonly videos: number;
      readonly videosDone: number;
      readonly clips: number;
      readonly seconds: number;
      readonly etaSeconds: number | undefined;
    }
  | { readonly type: 'workers'; readonly counts: Readonly<Record<string, number>> }
  | {
      readonly type: 'dead';
      readonly stage: string;
      readonly id: string;
      readonly name: string;
      readonly message: string;
    }
  | { readonly type: 'done'; readonly summary: JobSummary; readonly report: string; readonly seconds: number };

/** Options of the media pass out of those of the job. */
export function passOptions(out: string, o: CurateOptions): PassOptions {
  return {
    out,
    split:
      o.split === 'shots'
        ? {
            by: 'shots',
            minSeconds: o.minSeconds,
            maxSeconds: o.maxSeconds,
            cropSeconds: o.cropSeconds,
            longShots: o.longShots,
          }
        : {
            by: 'fixed',
            lengthSeconds: o.clipSeconds,
            strideSeconds: o.strideSeconds ?? o.clipSeconds,
            minSeconds: o.minSeconds,
            limit: o.limitClips,
          },
    encoder: o.encoder,
    crf: o.crf,
    preset: o.preset,
    maxHeight: o.maxHeight,
    threads: o.threads,
    motion: o.motion !== 'off',
    audio: o.audio === 'copy',
    ...(o.kilobits === undefined ? {} : { kilobits: o.kilobits }),
    ...(o.shotModel === undefined ? {} : { shotModel: o.shotModel }),
  };
}

/** The stages of a job, in order. */
export function curateStages(out: string, o: CurateOptions): readonly Stage[] {
  const media: Stage<VideoUnit, PassOutput> = {
    name: 'media',
    cores: o.threads,
    attempts: o.attempts,
    open: async () =>
      openIsolated({
        module: new URL(import.meta.url.endsWith('.ts') ? './pass/worker.ts' : './pass/worker.js', import.meta.url),
        options: passOptions(out, o),
        memoryMb: o.memoryMb,
        stallSeconds: o.stallSeconds,
      }) as never,
  };
  return [
    media,
    describeStage(o),
    ...(o.clipModel === undefined ? [] : [aestheticStage(out, o)]),
    ...(o.embed === 'off' ? [] : [embedStage(out)]),
    ...(o.typeExamples === undefined ? [] : [typeStage(o)]),
    ...(o.caption === 'endpoint' ? [captionStage(out, o)] : []),
    ...(o.preview ? [previewStage(out)] : []),
    writeStage(out, o),
  ] as Stage[];
}

/** Options that change the result; the others may differ when a job is continued. */
export function fingerprint(input: string, o: CurateOptions): Record<string, unknown> {
  const { cores: _c, threads: _t, memoryMb: _m, stallSeconds: _s, attempts: _a, retryDead: _r, ...rest } = o;
  return { input, options: rest };
}

/**
 * What of a journal's job is not this one: names of options, or "input". Options that an older version did not have count
 * as their defaults, so that a folder that it began can be continued.
 */
export function otherThan(job: Record<string, unknown>, stored: unknown): string[] {
  const { input, options } = stored as { readonly input: string; readonly options: unknown };
  const parsed = curateSchema.safeParse(options);
  if (!parsed.success)
    return parsed.error.issues.flatMap((i) => (i.code === 'unrecognized_keys' ? i.keys : `${i.path}`));
  const flat = (one: Record<string, unknown>): Record<string, unknown> => ({
    input: one['input'],
    ...(one['options'] as Record<string, unknown>),
  });
  const [own, other] = [flat(job), flat(fingerprint(input, parsed.data))];
  const names = new Set([...Object.keys(own), ...Object.keys(other)]);
  return [...names].filter((name) => JSON.stringify(own[name]) !== JSON.stringify(other[name]));
}

/** Videos of the input as units of the first stage. */
export async function unitsOf(
  found: Discovered,
  o: CurateOptions,
  signal: AbortSignal | undefined,
): Promise<Unit<VideoUnit>[]> {
  const videos = o.sessions ? await asSessions(found.videos, o.primaryCamera, signal) : found.videos;
  return videos.map((value) => ({
    id: uuid5(value.part === undefined ? value.idPath : `${value.idPath}#${value.part.start}`),
    value,
  }));
}

/** Prepares the output folder; refuses one that holds something else. */
export function prepareOut(out: string): string {
  try {
    makeFolder(out);
  } catch (error) {
    throw diskError(error, 'write', out);
  }
  const journal = join(out, 'journal.jsonl');
  if (!existsSync(journal)) {
    const others = readdirSync(out);
    if (others.some((name) => name !== 'topics'))
      throw new InputError('out', {
        got: out,
        need: 'an empty folder, or one of a job to continue',
        why: `it holds ${others.slice(0, 3).join(', ')}`,
      });
  }
  return journal;
}

/** Videos of a folder, list or glob, or of a LeRobot data set. */
async function discoverAny(input: string, out: string, signal?: AbortSignal): Promise<Discovered> {
  if (isMcap(input)) {
    prepareOut(out);
    const videos = await mcapVideos(resolve(input), join(resolve(out), 'topics'), signal);
    return { videos, skipped: [] };
  }
  if (!isLerobot(input)) return discover(input, out);
  checkNesting(resolve(input), resolve(out));
  return { videos: await lerobotVideos(resolve(input)), skipped: [] };
}

/** Curates. Leaving the loop early stops the work; the same call continues it. */
export async function* curate(
  input: string,
  out: string,
  raw: Partial<CurateOptions> & {
    readonly signal?: AbortSignal;
    readonly nats?: string;
    readonly sites?: readonly string[];
    readonly ackWaitSeconds?: number;
  } = {},
): AsyncGenerator<CurateEvent, void, undefined> {
  const { signal, nats, sites, ackWaitSeconds, ...given } = raw;
  const spread = {
    ...(sites === undefined ? {} : { sites }),
    ...(ackWaitSeconds === undefined ? {} : { ackWaitSeconds }),
  };
  const options = parseCurateOptions(given);
  checkTypes(options);
  throwIfAborted(signal);
  const found = await discoverAny(input, out, signal);
  if (found.videos.length === 0)
    throw new InputError('input', {
      got: input,
      need: 'at least one video',
      why: `${found.skipped.length} other files are there`,
    });
  const media = await openMedia('auto');
  if (media.name !== 'node-av')
    throw new OrreryError(
      'unsupported',
      'curate needs node-av, because it decodes each video once for all stages; run "npm install node-av"',
    );
  const journal = prepareOut(out);
  const job = fingerprint(input, options);
  const stages = curateStages(out, options);
  const dead: CurateEvent[] = [];
  const units = await unitsOf(found, options, signal);
  const names = new Map(units.map((u) => [u.id, u.value.name]));
  let clips = 0;
  const heard = {
    onResult: ({ value }: Result) => {
      if ((value as { kind: string }).kind === 'clip') clips++;
    },
    onDead: ({ stage, id, error }: DeadLetter) => {
      dead.push({ type: 'dead', stage, id, name: names.get(id) ?? id, message: error.message });
    },
  };
  const stageNames = stages.map((s) => s.name);
  const remote =
    nats === undefined
      ? undefined
      : await openCoordinator({
          url: nats,
          out: resolve(out),
          options,
          stages: stageNames,
          journal,
          description: job,
          ...spread,
          ...heard,
        });
  const backend =
    remote?.backend ??
    openEmbedded({ stages: stageNames, journal, job, keepsResults: false, retryDead: options.retryDead, ...heard });
  const began = performance.now();
  let progress: readonly StageProgress[] = [];
  try {
    const changed = otherThan(job, backend.job);
    if (changed.length > 0)
      throw new InputError('out', {
        got: out,
        need: 'the folder of this very job, or a new one',
        why: `it holds a job with another input or other options: ${changed.join(', ')}`,
      });
    yield {
      type: 'start',
      videos: units.length,
      skipped: found.skipped.length,
      resumed: backend.resumed,
      ...(remote === undefined ? {} : { job: remote.job }),
    };
    for await (const event of runPipeline({
      // Over NATS the work is done by workers; this process feeds and watches.
      stages: remote === undefined ? stages : stages.map((s) => ({ ...s, workers: 0 })),
      backend,
      source: units,
      ...(options.cores === undefined ? {} : { cores: options.cores }),
      ...(signal === undefined ? {} : { signal }),
    })) {
      yield* dead.splice(0);
      if (event.type === 'workers') {
        yield event;
        continue;
      }
      progress = event.stages;
      const first = event.stages[0]!;
      const videosDone = first.done + first.dead;
      const share = videosDone / units.length;
      yield {
        type: 'progress',
        stages: event.stages,
        videos: units.length,
        videosDone,
        clips,
        seconds: event.seconds,
        etaSeconds: share > 0 && share < 1 ? (event.seconds * (1 - share)) / share : undefined,
      };
    }
    yield* dead.splice(0);
  } finally {
    await backend.close();
    await remote?.close();
  }
  const seconds = (performance.now() - began) / 1000;
  const facts = readJob(out);
  const summary = finishJob(out, facts, { seconds, skipped: found.skipped, embeds: options.embed !== 'off' });
  const report = writeReport(out, facts, { seconds, stages: progress });
  yield { type: 'done', summary, report, seconds };
}
