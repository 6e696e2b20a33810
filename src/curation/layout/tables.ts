// The tables and records of a finished job, all made from its results: safe to write again.
import { join } from 'node:path';
import { type Column, writeFileAtomic, writeParquet } from '../../formats/index.ts';
import type { ClipResult } from '../clip-work.ts';
import { uuid5 } from '../pass/ids.ts';
import type { VideoRecord } from '../pass/job.ts';
import { EMBEDDING } from '../stages/embed.ts';
import { metaOf } from './metas.ts';

/** Clips of one video in order, with its record. */
export type VideoResults = {
  readonly id: string;
  readonly idPath: string;
  readonly record: VideoRecord;
  readonly clips: readonly ClipResult[];
};

/** Seconds of clips per chunk: 8 times 32, as published. */
const CHUNK_SECONDS = 256;

/** Cuts the clips of a video into chunks. A video without clips has one empty chunk, so that it counts as processed. */
export function chunksOf(clips: readonly ClipResult[]): ClipResult[][] {
  const chunks: ClipResult[][] = [[]];
  let sum = 0;
  for (const clip of clips) {
    if (sum >= CHUNK_SECONDS) {
      chunks.push([]);
      sum = 0;
    }
    chunks.at(-1)!.push(clip);
    sum += Math.floor(clip.seconds);
  }
  return chunks;
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 1)}\n`;

/** Counters of a group of clips, in the published names. */
export function countersOf(clips: readonly ClipResult[]): Record<string, number> {
  const by = (name: string): number => clips.filter((c) => c.rejected?.by === name).length;
  const passed = clips.filter((c) => c.rejected === undefined);
  const seconds = clips.map((c) => c.seconds);
  return {
    num_clips_filtered_by_motion: by('motion'),
    num_clips_filtered_by_aesthetic: by('aesthetic'),
    num_clips_filtered_by_qwen_classifier: by('type'),
    num_clips_filtered_by_qwen_semantic: 0,
    num_clips_filtered_by_artificial_text: by('overlay'),
    num_clips_filtered_by_quality: by('quality'),
    num_clips_filtered_by_damage: by('damage'),
    num_clips_passed: passed.length,
    num_clips_transcoded: clips.length,
    num_clips_with_embeddings: clips.filter((c) => c.embedding !== undefined).length,
    num_clips_with_caption: clips.filter((c) => c.caption !== undefined).length,
    num_clips_with_webp: clips.filter((c) => c.preview !== undefined).length,
    total_clip_duration: seconds.reduce((a, b) => a + b, 0),
    max_clip_duration: Math.max(0, ...seconds),
    total_prompt_tokens: clips.reduce((a, c) => a + (c.caption?.promptTokens ?? 0), 0),
    total_output_tokens: clips.reduce((a, c) => a + (c.caption?.outputTokens ?? 0), 0),
  };
}

/** Writes the records of one video: processed_videos, processed_clip_chunks, metas_jsonl, embeddings. */
export function writeVideoTables(out: string, { idPath, record, clips }: VideoResults): void {
  const videoId = uuid5(idPath);
  const chunks = chunksOf(clips);
  chunks.forEach((chunk, k) => {
    const windows: Record<string, Record<string, string>> = {};
    for (const clip of chunk)
      if (clip.caption !== undefined) windows[clip.id] = { [`0_${clip.frames - 1}`]: clip.caption.text };
    writeFileAtomic(
      join(out, 'processed_clip_chunks', `${record.video}_${k}.json`),
      json({
        video: record.source,
        clip_chunk_index: k,
        ...countersOf(chunk),
        clips: chunk.filter((c) => c.rejected === undefined).map((c) => c.id),
        filtered_clips: chunk.filter((c) => c.rejected !== undefined).map((c) => c.id),
        all_windows: windows,
        all_windows_enhanced_caption: {},
      }),
    );
    if (chunk.length > 0)
      writeFileAtomic(
        join(out, 'metas_jsonl', 'v0', `${videoId}_${k}.jsonl`),
        chunk.map((c) => `${JSON.stringify(metaOf(c))}\n`).join(''),
      );
    const embedded = chunk.filter((c) => c.embedding !== undefined);
    if (embedded.length > 0) {
      writeParquet(join(out, `${EMBEDDING}_embd_parquet`, `${videoId}_${k}.parquet`), [
        { name: 'id', type: 'text', values: embedded.map((c) => c.id) },
        { name: 'embedding', type: 'floats', values: embedded.map((c) => c.embedding!) },
      ]);
    }
  });
  writeFileAtomic(
    join(out, 'processed_videos', `${record.video}.json`),
    json({
      video: record.source,
      height: record.height,
      width: record.width,
      framerate: record.framerate,
      num_frames: record.num_frames,
      duration: record.duration,
      video_codec: record.video_codec,
      pixel_format: record.pixel_format,
      audio_format: record.audio_format,
      num_total_clips: clips.length,
      num_clip_chunks: chunks.length,
      video_uuid: videoId,
      num_transitions: record.transitions,
      num_dropped_spans: record.dropped,
      num_decode_errors: record.decode_errors,
      ...(record.problem === undefined ? {} : { problem: record.problem }),
    }),
  );
}

/** One row per clip in `clips.parquet`: what a table program wants to filter by. */
export function writeClipTable(out: string, clips: readonly ClipResult[]): void {
  const text = (name: string, pick: (c: ClipResult) => string | null): Column => ({
    name,
    type: 'text',
    values: clips.map(pick),
  });
  const number = (name: string, pick: (c: ClipResult) => number | null): Column => ({
    name,
    type: 'number',
    values: clips.map(pick),
  });
  const integer = (name: string, pick: (c: ClipResult) => number): Column => ({
    name,
    type: 'integer',
    values: clips.map(pick),
  });
  writeParquet(join(out, 'clips.parquet'), [
    text('span_uuid', (c) => c.id),
    text('source_video', (c) => c.source),
    text('video_uuid', (c) => c.videoId),
    text('camera', (c) => c.camera ?? null),
    text('clip_location', (c) => c.file),
    number('start_seconds', (c) => c.span[0]),
    number('end_seconds', (c) => c.span[1]),
    integer('width', (c) => c.width),
    integer('height', (c) => c.height),
    number('framerate', (c) => c.fps),
    integer('num_frames', (c) => c.frames),
    number('seconds', (c) => c.seconds),
    integer('num_bytes', (c) => c.bytes),
    text('video_codec', (c) => c.codec),
    text('sha256', (c) => c.sha256),
    { name: 'valid', type: 'flag', values: clips.map((c) => c.rejected === undefined) },
    text('filtered_by', (c) => c.rejected?.by ?? null),
    text('filter_reason', (c) => c.rejected?.reason ?? null),
    text('caption', (c) => c.caption?.text ?? null),
    text('caption_model', (c) => c.caption?.model ?? null),
    text('type', (c) => c.type ?? null),
    number('aesthetic_score', (c) => c.aesthetic ?? null),
    number('motion_global_mean', (c) => c.motion?.globalMean ?? null),
    number('motion_per_patch_min_256', (c) => c.motion?.perPatchMin256 ?? null),
    number('sharpness', (c) => c.quality.sharpness),
    number('brightness', (c) => c.quality.brightness),
    number('contrast', (c) => c.quality.contrast),
    number('dark_share', (c) => c.quality.darkShare),
    number('bright_share', (c) => c.quality.brightShare),
    number('letterbox', (c) => c.quality.letterbox),
    number('pillarbox', (c) => c.quality.pillarbox),
    number('freeze_share', (c) => c.quality.freezeShare),
    number('flashes_per_second', (c) => c.quality.flashes),
    number('overlay_share', (c) => c.quality.overlayShare),
    text('thumbnail', (c) => c.thumbnail),
  ]);
}
