// The end of a job: reads its journal, writes tables, `summary.json`, the captions of all windows and the dead letters.
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileAtomic } from '../../formats/index.ts';
import type { ClipResult, JobResult } from '../clip-work.ts';
import type { DeadLetter } from '../engine/backend.ts';
import { readJournal } from '../engine/journal.ts';
import { uuid5 } from '../pass/ids.ts';
import type { VideoUnit } from '../pass/job.ts';
import { EMBEDDING } from '../stages/embed.ts';
import { chunksOf, countersOf, type VideoResults, writeClipTable, writeVideoTables } from './tables.ts';

/** What a job came to. */
export type JobSummary = {
  readonly videos: number;
  readonly processed: number;
  readonly failed: number;
  readonly clips: number;
  readonly filtered: number;
  /** Pieces of video that were too short to become clips. */
  readonly tooShort: number;
  readonly deadLetters: readonly (DeadLetter & { readonly name: string })[];
  readonly path: string;
};

/** Everything that a journal says, put together. */
export type JobFacts = {
  readonly job: unknown;
  /** Units of the first stage by id. */
  readonly videos: ReadonlyMap<string, VideoUnit>;
  readonly results: readonly VideoResults[];
  readonly dead: readonly (DeadLetter & { readonly name: string })[];
};

/** Reads a job's journal. `first` is the name of the first stage. */
export function readJob(out: string, first = 'media'): JobFacts {
  let job: unknown;
  const videos = new Map<string, VideoUnit>();
  const clips = new Map<string, ClipResult[]>();
  const records = new Map<string, VideoResults['record']>();
  const dead = new Map<string, DeadLetter>();
  const seen = new Set<string>();
  const finished = new Set<string>();
  for (const entry of readJournal(join(out, 'journal.jsonl'))) {
    if (entry.e === 'job') job = entry.v;
    else if (entry.e === 'unit') {
      if (entry.s === first) videos.set(entry.id, entry.v as VideoUnit);
    } else if (entry.e === 'dead')
      dead.set(`${entry.s}\n${entry.id}`, {
        stage: entry.s,
        id: entry.id,
        attempts: entry.attempt,
        error: entry.error,
      });
    else if (entry.e === 'done') finished.add(`${entry.s}\n${entry.id}`);
    else if (entry.e === 'result' && !seen.has(entry.id)) {
      seen.add(entry.id);
      const value = entry.v as JobResult;
      if (value.kind === 'video') records.set(entry.id.replace(/^video:/, ''), value);
      else {
        // Numbers as text take five times the memory.
        const embedding =
          value.embedding === undefined ? undefined : (Float32Array.from(value.embedding) as unknown as number[]);
        const key = value.camera === undefined ? value.videoId : `${value.videoId}`;
        const list = clips.get(key) ?? [];
        list.push(embedding === undefined ? value : { ...value, embedding });
        clips.set(key, list);
      }
    }
  }
  for (const key of finished) dead.delete(key);
  const results: VideoResults[] = [];
  for (const [id, unit] of videos) {
    const record = records.get(id);
    if (record === undefined) continue;
    const own = (clips.get(uuid5(unit.idPath)) ?? []).sort(
      (a, b) => a.startFrame - b.startFrame || a.endFrame - b.endFrame,
    );
    results.push({ id, idPath: unit.idPath, record, clips: own });
  }
  const named = [...dead.values()].map((d) => ({ ...d, name: videos.get(d.id)?.name ?? d.id }));
  return { job, videos, results, dead: named };
}

/** Writes everything that is made at the end. */
export function finishJob(
  out: string,
  facts: JobFacts,
  options: {
    readonly seconds: number;
    readonly skipped: readonly { readonly name: string; readonly reason: string }[];
    readonly embeds: boolean;
  },
): JobSummary {
  const { videos, results, dead } = facts;
  const put = (name: string, value: unknown): void => {
    writeFileAtomic(join(out, name), `${JSON.stringify(value, null, 1)}\n`);
  };
  const captions: Record<string, Record<string, Record<string, string>>> = {};
  for (const video of results) {
    writeVideoTables(out, video);
    const own: Record<string, Record<string, string>> = {};
    for (const clip of video.clips)
      if (clip.caption !== undefined) own[clip.id] = { [`0_${clip.frames - 1}`]: clip.caption.text };
    if (Object.keys(own).length > 0) captions[video.record.source] = own;
  }
  for (const letter of dead)
    if (videos.has(letter.id)) put(`video_errors/${letter.name}_0.json`, { video: letter.name, ...letter });
  const clips = results.flatMap((v) => v.clips);
  writeClipTable(out, clips);
  put('v0/all_window_captions.json', captions);
  writeFileAtomic(join(out, 'dead_letters.jsonl'), dead.map((d) => `${JSON.stringify(d)}\n`).join(''));
  const counters = countersOf(clips);
  const perVideo: Record<string, unknown> = {};
  const byId = new Map(results.map((r) => [r.id, r]));
  for (const [id, unit] of videos) {
    const found = byId.get(id);
    const letter = dead.find((d) => d.id === id);
    perVideo[unit.name] =
      found === undefined
        ? {
            source_video: unit.path,
            processed: false,
            ...(letter === undefined ? {} : { error: letter.error.message, attempts: letter.attempts }),
          }
        : {
            source_video: unit.path,
            video_uuid: uuid5(unit.idPath),
            num_clip_chunks: chunksOf(found.clips).length,
            num_total_clips: found.clips.length,
            clips: found.clips.filter((c) => c.rejected === undefined).map((c) => c.id),
            filtered_clips: found.clips.filter((c) => c.rejected !== undefined).map((c) => c.id),
            ...countersOf(found.clips),
            num_pieces_too_short: found.record.dropped,
            ...(found.record.decode_errors > 0 ? { decode_errors: found.record.decode_errors } : {}),
            ...(found.record.problem === undefined ? {} : { problem: found.record.problem }),
            ...(found.record.audio_note === undefined ? {} : { audio_note: found.record.audio_note }),
          };
  }
  const minutes = options.seconds / 60;
  const tooShort = results.reduce((n, r) => n + r.record.dropped, 0);
  put('summary.json', {
    num_input_videos: videos.size,
    num_input_videos_selected: videos.size,
    num_processed_videos: results.length,
    num_failed_videos: [...videos.keys()].filter((id) => dead.some((d) => d.id === id)).length,
    num_dead_letters: dead.length,
    embedding_algorithm: options.embeds ? EMBEDDING : 'none',
    total_video_duration: results.reduce((a, r) => a + r.record.duration, 0),
    pipeline_run_time: minutes,
    total_video_bytes: results.reduce((a, r) => a + r.record.bytes, 0),
    num_remuxed_videos: 0,
    output_tokens_per_s: options.seconds > 0 ? counters['total_output_tokens']! / options.seconds : 0,
    ...Object.fromEntries(
      Object.entries(counters).map(([k, v]) => [
        k === 'max_clip_duration' || k.startsWith('total_') ? k : `total_${k}`,
        v,
      ]),
    ),
    total_num_pieces_too_short: tooShort,
    skipped_files: options.skipped,
    dead_letters: dead,
    ...perVideo,
  });
  removeEmpty(join(out, '.handoff'));
  // Clips that were being written when something was killed.
  if (existsSync(join(out, 'clips')))
    for (const name of readdirSync(join(out, 'clips')))
      if (name.startsWith('.') && name.endsWith('.part.mp4')) rmSync(join(out, 'clips', name), { force: true });
  return {
    videos: videos.size,
    processed: results.length,
    failed: dead.length,
    clips: counters['num_clips_passed']!,
    filtered: clips.length - counters['num_clips_passed']!,
    tooShort,
    deadLetters: dead,
    path: join(out, 'summary.json'),
  };
}

/** Hand-off records are needed only while something may be repeated. */
function removeEmpty(folder: string): void {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true });
  try {
    rmdirSync(folder);
  } catch {
    // Someone put a file there: theirs.
  }
}
