// The ffmpeg backend: runs the `ffprobe` and `ffmpeg` programs of the machine. Used when node-av is not installed, and as
// the independent check of node-av in the tests. Names go in as absolute `file:` URLs, so none is an option or a network address.
import type { DecodedPicture, DecodePlan, DecodeReport, MediaBackend, RunOptions } from './backend-types.ts';
import type { SourceFile } from './check-file.ts';
import { fileError } from './check-file.ts';
import { TO_YUV_LINE, X264_PARAMS } from './encode-settings.ts';
import { probeWithFfprobe } from './ffprobe.ts';
import { filterLine } from './geometry.ts';
import { makePicker, TIME_TOLERANCE_SECONDS } from './pick-frames.ts';
import { collect, openProgram } from './program.ts';

/** Opens the backend, or tells why it is not there. */
export async function ffmpegBackend(): Promise<MediaBackend | string> {
  const options = { stallSeconds: 30 };
  try {
    const [version, encoders] = await Promise.all([
      collect('ffmpeg', ['-hide_banner', '-version'], 'ffmpeg', options),
      collect('ffmpeg', ['-hide_banner', '-encoders'], 'ffmpeg', options),
      collect('ffprobe', ['-hide_banner', '-version'], 'ffprobe', options),
    ]);
    const encoder = ['libx264', 'libopenh264'].find((name) => encoders.includes(` ${name} `)) ?? '';
    const release = /version n?(\d+)\.(\d+)/.exec(version);
    // `-fps_mode` came with 5.1; before, the same thing was called `-vsync`.
    const isOld = release !== null && Number(release[1]) * 100 + Number(release[2]) < 501;
    const passThrough = isOld ? ['-vsync', 'passthrough'] : ['-fps_mode', 'passthrough'];
    return {
      name: 'ffmpeg',
      version: /version (\S+)/.exec(version)?.[1] ?? 'unknown',
      encoder,
      probe: probeWithFfprobe,
      decode: (file, plan, place, run) => decode(file, plan, place, run, passThrough),
      encode: async (plan, pictures, run) => {
        if (encoder === '')
          throw fileError(
            'ffmpeg',
            'it has no H.264 encoder',
            'libx264 or libopenh264',
            'install another ffmpeg or "npm install node-av"',
          );
        const [num, den] = plan.rate;
        // OpenH264 knows no constant quality: about 0.2 bits for each pixel is visually close to crf 16.
        const quality =
          encoder === 'libx264'
            ? ['-crf', `${plan.crf}`, '-preset', plan.preset, '-x264-params', X264_PARAMS]
            : ['-b:v', `${Math.round((0.2 * plan.width * plan.height * num) / den)}`];
        const tags = Object.entries(plan.tags).flatMap(([key, value]) => ['-metadata', `${key}=${value}`]);
        const args = [
          ...['-v', 'error', '-hide_banner', '-y', '-f', 'rawvideo', '-pix_fmt', 'rgb24'],
          ...['-video_size', `${plan.width}x${plan.height}`, '-framerate', `${num}/${den}`, '-i', 'pipe:0'],
          ...['-vf', TO_YUV_LINE, '-c:v', encoder, '-threads', '1', ...quality, '-pix_fmt', 'yuv420p'],
          ...['-colorspace', 'bt709', '-color_primaries', 'bt709', '-color_trc', 'bt709', '-color_range', 'tv'],
          ...['-map_metadata', '-1', ...tags, '-fflags', '+bitexact', '-flags:v', '+bitexact'],
          ...['-movflags', '+faststart', '-f', 'mp4', `file:${plan.path}`],
        ];
        const program = openProgram('ffmpeg', args, plan.path, run, { hasInput: true });
        try {
          for await (const pixels of pictures) await program.write(pixels);
          await program.finish();
        } finally {
          program.kill();
        }
        return encoder;
      },
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function* decode(
  file: SourceFile,
  plan: DecodePlan,
  place: (byteLength: number) => Uint8Array,
  run: RunOptions,
  passThrough: readonly string[],
): AsyncGenerator<DecodedPicture, DecodeReport, undefined> {
  const frameBytes = plan.width * plan.height * 3;
  // Frames long before the start need not travel; when the shown frame began even earlier, start earlier.
  for (const lead of plan.startSeconds > 0 && plan.canSeek
    ? [2, 10, Number.POSITIVE_INFINITY]
    : [Number.POSITIVE_INFINITY]) {
    const from = Math.max(0, plan.startSeconds - lead);
    const program = openProgram('ffmpeg', decodeArgs(file, plan, from, passThrough), file.name, run, {
      hasTimes: true,
    });
    try {
      const picker = makePicker(plan);
      let origin = plan.picture.startSeconds;
      let shown: { time: number; pixels: Uint8Array } | undefined;
      let isTooLate = false;
      for (let index = 0; ; index++) {
        const pixels = place(frameBytes);
        if (!(await program.read(pixels))) break;
        if (plan.fps !== null) {
          const time = plan.startSeconds + index / plan.fps;
          // The program's own rate filter has picked; the picker only counts and ends.
          if (picker.take(time, time + 1 / plan.fps).length > 0) yield { time, pixels };
          if (picker.isDone()) return { errors: 0, isAtEnd: false };
          continue;
        }
        const stamp = await program.nextTime();
        // Where the container's start is unsure (no seeking then), the first frame itself is time 0.
        if (index === 0 && !plan.canSeek) origin = stamp;
        const time = stamp - origin;
        isTooLate = shown === undefined && from > 0 && time > plan.startSeconds + TIME_TOLERANCE_SECONDS;
        if (isTooLate) break;
        // A picture is held until the next one's time is known, so it needs memory of its own.
        const next = { time, pixels: pixels.slice() };
        if (shown !== undefined && picker.take(shown.time, time).length > 0) yield shown;
        if (picker.isDone()) return { errors: 0, isAtEnd: false };
        shown = next;
      }
      if (isTooLate) continue;
      if (shown !== undefined && picker.take(shown.time, shown.time + plan.frameSeconds).length > 0) yield shown;
      const errors = await program.finishReading();
      return { errors, isAtEnd: !picker.isDone() };
    } finally {
      program.kill();
    }
  }
  return { errors: 0, isAtEnd: true };
}

function decodeArgs(file: SourceFile, plan: DecodePlan, from: number, passThrough: readonly string[]): string[] {
  const origin = plan.picture.startSeconds;
  // Transport streams have no index: aim a little earlier.
  const target = origin + from - (file.demuxer.startsWith('mpeg') ? 2 : 0);
  const seek = from > 0 ? ['-noaccurate_seek', '-seek_timestamp', '1', '-ss', target.toFixed(6)] : [];
  const scale = filterLine(plan.picture, plan, plan.fit);
  const micro = (seconds: number): number => Math.round(seconds * 1e6);
  // Rate: the picker's rule in the filter's terms. Times shift so that the start is 0; `up` shows a frame from the first
  // output time at or after its own.
  const steps =
    plan.fps === null
      ? ['settb=AVTB', ...(from > 0 ? [`trim=start_pts=${micro(origin + from)}`] : []), scale, ...PRINT_TIMES]
      : [
          'settb=AVTB',
          plan.canSeek
            ? `setpts=PTS-${micro(origin + plan.startSeconds + TIME_TOLERANCE_SECONDS)}`
            : `setpts=PTS-STARTPTS-${micro(plan.startSeconds + TIME_TOLERANCE_SECONDS)}`,
          `fps=fps=${plan.fps}:round=up:start_time=0`,
          scale,
        ];
  return [
    ...['-v', 'error', '-hide_banner', '-nostdin', '-protocol_whitelist', 'file,pipe', '-threads', `${plan.threads}`],
    ...['-f', file.demuxer, ...seek, '-copyts', '-noautorotate', '-i', `file:${file.path}`],
    ...['-map', `0:${plan.picture.streamIndex}`, '-vf', steps.join(','), ...passThrough],
    ...['-progress', 'pipe:4', '-stats_period', '1', '-f', 'rawvideo', '-pix_fmt', 'rgb24', 'pipe:1'],
  ];
}

// `metadata=print` writes only frames that carry some metadata, so give each one entry.
const PRINT_TIMES = ['metadata=mode=add:key=orrery:value=1', 'metadata=mode=print:file=pipe\\\\:3:direct=1'];
