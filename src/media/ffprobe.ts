// Facts of a video file from the `ffprobe` program, in the same terms as node-av's.
import type { RunOptions, StreamFacts } from './backend-types.ts';
import { fileError, type SourceFile } from './check-file.ts';
import { orientationOf } from './geometry.ts';
import { collect } from './program.ts';

type Json = Record<string, unknown>;
type Report = { readonly streams?: readonly Json[]; readonly format?: Json };

/** Probes one file. */
export async function probeWithFfprobe(file: SourceFile, options: RunOptions): Promise<StreamFacts> {
  const input = ['-v', 'error', '-protocol_whitelist', 'file', '-f', file.demuxer];
  const report = JSON.parse(
    await collect(
      'ffprobe',
      [...input, '-show_streams', '-show_format', '-of', 'json', '-i', `file:${file.path}`],
      file.name,
      options,
    ),
  ) as Report;
  const streams = report.streams ?? [];
  const hasAudio = streams.some((s) => s.codec_type === 'audio');
  const isPicture = (s: Json): boolean =>
    s.codec_type === 'video' && (s.disposition as Json | undefined)?.attached_pic !== 1 && number(s.width) > 0;
  const stream =
    streams.find((s) => isPicture(s) && (s.disposition as Json | undefined)?.default === 1) ?? streams.find(isPicture);
  if (stream === undefined)
    throw fileError(
      file.name,
      hasAudio ? 'it holds sound but no pictures' : 'it holds no video stream that can be read',
      'a file with a video stream',
      'give another file',
    );
  const stated = {
    frames: file.demuxer === 'mov' ? number(stream.nb_frames) : 0,
    durationSeconds: number(stream.duration) || number(report.format?.duration),
    averageFps: rate(stream.avg_frame_rate),
  };
  const counted =
    stated.frames === 0 && stated.durationSeconds === 0
      ? await countPackets(file, input, number(stream.index), options)
      : stated;
  const sar = String(stream.sample_aspect_ratio ?? '')
    .split(':')
    .map(Number);
  return {
    streamIndex: number(stream.index),
    ...matrixOf(stream),
    codec: String(stream.codec_name ?? 'unknown'),
    codedWidth: number(stream.width),
    codedHeight: number(stream.height),
    sar: sar.length === 2 && sar[0]! > 0 && sar[1]! > 0 ? [sar[0]!, sar[1]!] : [1, 1],
    pixelFormat: String(stream.pix_fmt ?? 'unknown'),
    isMatrixKnown: stream.color_space !== undefined && stream.color_space !== 'unknown',
    averageFps: counted.averageFps || stated.averageFps,
    baseFps: rate(stream.r_frame_rate),
    durationSeconds: counted.durationSeconds,
    frames: counted.frames,
    startSeconds: number(stream.start_time),
    hasAudio,
    tags: Object.fromEntries(
      Object.entries((report.format?.tags ?? {}) as Json).map(([key, value]) => [key, String(value)]),
    ),
  };
}

function number(value: unknown): number {
  const parsed = Number(value);
  return Number.isFinite(parsed) ? parsed : 0;
}

/** `30000/1001` as a number; 0 for `0/0`. */
function rate(value: unknown): number {
  const [num, den] = String(value ?? '')
    .split('/')
    .map(Number);
  return num !== undefined && den !== undefined && den > 0 ? num / den : 0;
}

/** The display matrix is printed as three lines of `offset: a b u`. */
function matrixOf(stream: Json): ReturnType<typeof orientationOf> {
  const entries = (stream.side_data_list ?? []) as readonly Json[];
  const text = entries.map((e) => e.displaymatrix).find((m) => typeof m === 'string');
  const cells = String(text ?? '')
    .split('\n')
    .flatMap((line) => line.split(':')[1]?.trim().split(/\s+/).map(Number) ?? []);
  return cells.length >= 6
    ? orientationOf([cells[0]!, cells[1]!, cells[3]!, cells[4]!])
    : { rotation: 0, isMirrored: false };
}

async function countPackets(
  file: SourceFile,
  input: readonly string[],
  index: number,
  options: RunOptions,
): Promise<{ frames: number; durationSeconds: number; averageFps: number }> {
  const entries = ['-select_streams', `${index}`, '-show_entries', 'packet=pts_time,duration_time', '-of', 'csv=p=0'];
  const lines = (await collect('ffprobe', [...input, ...entries, '-i', `file:${file.path}`], file.name, options)).split(
    '\n',
  );
  let [frames, first, last, length] = [0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (const line of lines) {
    const [pts, duration] = line.split(',');
    if (pts === undefined || pts === '') continue;
    frames++;
    const time = Number(pts);
    if (Number.isNaN(time)) continue;
    first = Math.min(first, time);
    if (time >= last) [last, length] = [time, number(duration)];
  }
  const frameSeconds = length > 0 ? length : frames > 1 ? (last - first) / (frames - 1) : 0;
  const durationSeconds = frames > 0 ? last - first + frameSeconds : 0;
  return { frames, durationSeconds, averageFps: durationSeconds > 0 ? frames / durationSeconds : 0 };
}
