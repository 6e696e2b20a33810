// Runs in the media process: opens a file with node-av and reads the facts of its best video stream.
// Only the demuxer that fits the file's first bytes may open it, and only local files: names are never options or URLs.
import type { FormatContext, Stream } from 'node-av/lib';
import type { StreamFacts } from './backend-types.ts';
import { orientationOf } from './geometry.ts';
import { WorkFailure } from './work-failure.ts';

/** The parts of node-av that we use, loaded once. */
export type Av = typeof import('node-av/lib') & { readonly constants: typeof import('node-av/constants') };

let loading: Promise<Av> | undefined;

/** Loads node-av, silent. Throws when it is not installed. */
export function loadAv(): Promise<Av> {
  loading ??= (async () => {
    const [lib, constants] = await Promise.all([import('node-av/lib'), import('node-av/constants')]);
    lib.Log.setLevel(constants.AV_LOG_QUIET);
    return { ...lib, constants };
  })();
  return loading;
}

/** An opened file with its best video stream. */
export type OpenInput = { readonly context: FormatContext; readonly stream: Stream };

/** Opens `path` with one demuxer. */
export function openInput(av: Av, path: string, demuxer: string): OpenInput {
  const context = new av.FormatContext();
  const options = av.Dictionary.fromObject({ protocol_whitelist: 'file', format_whitelist: whitelistOf(av, demuxer) });
  const opened = context.openInputSync(`file:${path}`, av.InputFormat.findInputFormat(demuxer), options);
  options.free();
  if (opened < 0) throw new WorkFailure('file', `the container cannot be opened (${av.FFmpegError.strerror(opened)})`);
  const informed = context.findStreamInfoSync(null);
  const stream = informed < 0 ? undefined : bestVideo(av, context);
  if (stream === undefined) {
    const hasAudio = context.streams.some((s) => s.codecpar.codecType === av.constants.AVMEDIA_TYPE_AUDIO);
    context.closeInputSync();
    throw new WorkFailure(
      'file',
      hasAudio ? 'it holds sound but no pictures' : 'it holds no video stream that can be read',
    );
  }
  return { context, stream };
}

// The demuxer was chosen by content, so its own full list of names is all that may be used.
function whitelistOf(av: Av, demuxer: string): string {
  return av.InputFormat.findInputFormat(demuxer)?.name ?? demuxer;
}

function bestVideo(av: Av, context: FormatContext): Stream | undefined {
  const isPicture = (s: Stream): boolean =>
    s.codecpar.codecType === av.constants.AVMEDIA_TYPE_VIDEO &&
    (s.disposition & av.constants.AV_DISPOSITION_ATTACHED_PIC) === 0 &&
    s.codecpar.width > 0;
  const streams = context.streams;
  const best = streams[context.findBestStream(av.constants.AVMEDIA_TYPE_VIDEO, -1, -1)];
  return best !== undefined && isPicture(best) ? best : streams.find(isPicture);
}

const ratio = (r: { num: number; den: number }): number => (r.den === 0 ? 0 : r.num / r.den);

/** Seconds of a time stamp in stream units; undefined for "no value". */
export function secondsOf(value: bigint, stream: Stream): number | undefined {
  return value === NO_TIME ? undefined : Number(value) * ratio(stream.timeBase);
}

/** FFmpeg's "no time stamp". */
export const NO_TIME = -0x8000000000000000n;

/**
 * Facts of the stream. Counts packets (without decoding) when the container states neither a length nor a count.
 * @param alive called now and then during a long count
 */
export function factsOf(av: Av, { context, stream }: OpenInput, alive: () => void): StreamFacts {
  const parameters = stream.codecpar;
  const matrix = parameters.getCodedSideData(av.constants.AV_PKT_DATA_DISPLAYMATRIX);
  const cell = (index: number): number => matrix!.readInt32LE(index * 4);
  const orientation =
    matrix === null || matrix.byteLength < 36
      ? ({ rotation: 0, isMirrored: false } as const)
      : orientationOf([cell(0), cell(1), cell(3), cell(4)]);
  const sar = [stream.sampleAspectRatio, parameters.sampleAspectRatio].find((r) => r.num > 0 && r.den > 0);
  const pixelFormat = av.avGetPixFmtName(parameters.format as Parameters<Av['avGetPixFmtName']>[0]) ?? 'unknown';
  const containerSeconds = context.duration === NO_TIME ? 0 : Math.max(0, Number(context.duration) / 1e6);
  const stated = {
    durationSeconds: Math.max(0, secondsOf(stream.duration, stream) ?? containerSeconds),
    // Only MP4 and MOV count pictures; AVI's number may count chunks.
    frames: context.iformat?.name?.startsWith('mov') ? Number(stream.nbFrames) : 0,
    averageFps: ratio(stream.avgFrameRate),
  };
  const startSeconds = secondsOf(stream.startTime, stream) ?? 0;
  const counted =
    stated.durationSeconds === 0 && stated.frames === 0 ? countPackets(av, { context, stream }, alive) : stated;
  return {
    streamIndex: stream.index,
    ...orientation,
    codedWidth: parameters.width,
    codedHeight: parameters.height,
    sar: sar === undefined ? [1, 1] : [sar.num, sar.den],
    codec: av.avGetCodecName(parameters.codecId) ?? 'unknown',
    pixelFormat,
    isMatrixKnown: parameters.colorSpace !== av.constants.AVCOL_SPC_UNSPECIFIED,
    averageFps: counted.averageFps || stated.averageFps,
    baseFps: ratio(stream.rFrameRate),
    durationSeconds: counted.durationSeconds,
    frames: counted.frames,
    startSeconds,
    hasAudio: context.streams.some((s) => s.codecpar.codecType === av.constants.AVMEDIA_TYPE_AUDIO),
    tags: context.metadata?.getAll() ?? {},
  };
}

function countPackets(
  av: Av,
  { context, stream }: OpenInput,
  alive: () => void,
): { durationSeconds: number; frames: number; averageFps: number } {
  const packet = new av.Packet();
  packet.alloc();
  let frames = 0;
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  let length = 0;
  while (context.readFrameSync(packet) >= 0) {
    if (packet.streamIndex === stream.index && packet.size > 0) {
      frames++;
      const time = secondsOf(packet.pts, stream) ?? secondsOf(packet.dts, stream);
      if (time !== undefined) {
        first = Math.min(first, time);
        if (time >= last) {
          last = time;
          length = secondsOf(packet.duration, stream) ?? 0;
        }
      }
    }
    packet.unref();
    if (frames % 256 === 0) alive();
  }
  packet.free();
  const span = last - first;
  const frameSeconds = length > 0 ? length : frames > 1 ? span / (frames - 1) : 0;
  const durationSeconds = Number.isFinite(span) ? span + frameSeconds : 0;
  return { frames, durationSeconds, averageFps: durationSeconds > 0 ? frames / durationSeconds : 0 };
}
