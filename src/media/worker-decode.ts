// Runs in the media process: decodes one file with node-av, picks frames by presentation time, scales and turns them.
// Uses the synchronous calls (sound for decoding, and 1.5 times as fast as the asynchronous ones).
import type { CodecContext } from 'node-av/lib';
import type { DecodePlan, DecodeReport } from './backend-types.ts';
import { filterLine, MAX_SIDE } from './geometry.ts';
import { makePicker, TIME_TOLERANCE_SECONDS } from './pick-frames.ts';
import { WorkFailure } from './work-failure.ts';
import { type FrameFilter, openFilter } from './worker-filter.ts';
import { type Av, NO_TIME, type OpenInput, secondsOf } from './worker-open.ts';

/** Where pictures go. Each call may wait for the reader (back pressure). */
export type PictureSink = {
  picture(pixels: Uint8Array, time: number): Promise<void>;
  repeat(time: number): Promise<void>;
  alive(): Promise<void>;
};

/** Runs one decode job; resolves at the end of the file or of the plan. */
export async function decodeFile(av: Av, input: OpenInput, plan: DecodePlan, sink: PictureSink): Promise<DecodeReport> {
  const decoder = openDecoder(av, input, plan.threads);
  const scaler = openFilter(av, (facts) => filterLine({ ...plan.picture, ...facts }, plan, plan.fit));
  try {
    // A container may seek past the target: then start earlier, at last at the very beginning.
    for (const lead of plan.startSeconds > 0 && plan.canSeek
      ? [0, 2, 10, Number.POSITIVE_INFINITY]
      : [Number.POSITIVE_INFINITY]) {
      const target = plan.picture.startSeconds + plan.startSeconds - lead;
      const isFromStart = target <= plan.picture.startSeconds;
      if (!isFromStart && !seek(av, input, decoder, target)) continue;
      if (isFromStart && plan.startSeconds > 0 && plan.canSeek)
        seek(av, input, decoder, Math.min(0, plan.picture.startSeconds));
      const report = await decodeFrom(av, input, decoder, scaler, plan, sink, isFromStart);
      if (report !== undefined) return report;
    }
    throw new WorkFailure('file', `no frame at ${plan.startSeconds} s can be reached`);
  } finally {
    scaler.free();
    decoder.freeContext();
  }
}

/** Opens the decoder of a stream. @param flags2 FFmpeg's further flags, such as motion vectors beside the frames */
export function openDecoder(
  av: Av,
  { stream }: OpenInput,
  threads: number,
  flags2?: Parameters<CodecContext['setFlags2']>[0],
): CodecContext {
  const parameters = stream.codecpar;
  const codec = av.Codec.findDecoder(parameters.codecId);
  const name = av.avGetCodecName(parameters.codecId) ?? 'unknown';
  if (codec === null)
    throw new WorkFailure('file', `no decoder for the codec ${name}`, 'convert it to H.264 with ffmpeg');
  const context = new av.CodecContext();
  context.allocContext3(codec);
  const filled = context.parametersToContext(parameters);
  context.threadCount = threads;
  context.pktTimebase = stream.timeBase;
  if (flags2 !== undefined) context.setFlags2(flags2);
  // Options go in one by one: a dictionary handed to open2 is freed twice at the next garbage collection (node-av 6.1).
  context.setOption('max_pixels', `${MAX_SIDE * MAX_SIDE}`);
  const opened = filled < 0 ? filled : context.open2Sync(codec, null);
  if (opened < 0) throw new WorkFailure('file', `the ${name} decoder refuses it (${av.FFmpegError.strerror(opened)})`);
  return context;
}

/** Jumps to the key frame at or before a time on the container's clock. */
function seek(av: Av, { context }: OpenInput, decoder: CodecContext, seconds: number): boolean {
  // With a stream index the call would want stream units; -1 takes microseconds.
  const done = context.seekFrameSync(-1, BigInt(Math.floor(seconds * 1e6)), av.constants.AVSEEK_FLAG_BACKWARD);
  decoder.flushBuffers();
  return done >= 0;
}

/** Decodes from the current place; undefined when the first frame already lies after the wanted start. */
async function decodeFrom(
  av: Av,
  { context, stream }: OpenInput,
  decoder: CodecContext,
  scaler: FrameFilter,
  plan: DecodePlan,
  sink: PictureSink,
  isFromStart: boolean,
): Promise<DecodeReport | undefined> {
  const { AVERROR_EOF, AVERROR_EAGAIN, AV_PKT_FLAG_CORRUPT } = av.constants;
  const picker = makePicker(plan);
  // Time 0. Where the container's start is unsure (no seeking then), the first frame itself decides.
  let origin = plan.picture.startSeconds;
  const packet = new av.Packet();
  const frame = new av.Frame();
  // The newest frame whose turn has not come yet: a frame is shown until the next one begins.
  const held = new av.Frame();
  packet.alloc();
  frame.alloc();
  held.alloc();
  let heldEnd = 0;
  let hasHeld = false;
  let isHeldSent = false;
  let errors = 0;
  let isFirst = true;
  let lastTime = Number.NEGATIVE_INFINITY;

  const show = async (until: number): Promise<void> => {
    for (const time of picker.take(lastTime, until)) {
      if (isHeldSent) await sink.repeat(time);
      else await sink.picture(scaler.toBytes(held), time);
      isHeldSent = true;
    }
  };
  /** Takes all frames that the decoder has; false when the plan is fulfilled, undefined when the seek was too far. */
  const drain = async (): Promise<boolean | undefined> => {
    for (;;) {
      const got = decoder.receiveFrameSync(frame);
      if (got === AVERROR_EOF || got === AVERROR_EAGAIN) return true;
      if (got < 0) {
        if (hasHeld || isFromStart) errors++;
        return true;
      }
      const stated = frame.bestEffortTimestamp === NO_TIME ? undefined : secondsOf(frame.bestEffortTimestamp, stream);
      const time = stated === undefined ? (hasHeld ? heldEnd : origin) : stated;
      if (isFirst && !plan.canSeek) origin = time;
      const shown = time - origin;
      if (isFirst && !isFromStart && shown > plan.startSeconds + TIME_TOLERANCE_SECONDS) return undefined;
      isFirst = false;
      if (frame.decodeErrorFlags !== 0 && (hasHeld || isFromStart)) errors++;
      if (hasHeld) await show(shown);
      if (picker.isDone()) return false;
      held.unref();
      held.ref(frame);
      hasHeld = true;
      isHeldSent = false;
      lastTime = shown;
      const length = secondsOf(frame.duration, stream) ?? 0;
      heldEnd = time + (length > 0 ? length : plan.frameSeconds);
      frame.unref();
    }
  };

  try {
    let packets = 0;
    for (;;) {
      const read = context.readFrameSync(packet);
      if (read < 0) {
        if (read !== AVERROR_EOF) errors++;
        break;
      }
      if (packet.streamIndex === stream.index) {
        if ((packet.flags & AV_PKT_FLAG_CORRUPT) !== 0) errors++;
        const sent = decoder.sendPacketSync(packet);
        if (sent < 0 && sent !== AVERROR_EAGAIN && (hasHeld || isFromStart)) errors++;
        const state = await drain();
        if (state === undefined) return undefined;
        if (!state) return { errors, isAtEnd: false };
      }
      packet.unref();
      // Other streams' packets also count as life; the pause lets the channel flow.
      if (++packets % 64 === 0) await sink.alive();
    }
    decoder.sendPacketSync(null);
    const state = await drain();
    if (state === undefined) return undefined;
    if (state === false) return { errors, isAtEnd: false };
    if (!hasHeld) return isFromStart ? { errors, isAtEnd: true } : undefined;
    await show(heldEnd - origin);
    return { errors, isAtEnd: !picker.isDone() };
  } finally {
    packet.free();
    frame.free();
    held.free();
  }
}
