// Runs in a worker process: decoded frames of one file in display order with their times, damaged packets counted.
import type { Frame } from 'node-av/lib';
import { openDecoder } from '../../media/worker-decode.ts';
import { type Av, NO_TIME, type OpenInput, secondsOf } from '../../media/worker-open.ts';

/** A decoded frame, valid until the next one is asked for. */
export type DecodedFrame = {
  readonly frame: Frame;
  readonly index: number;
  /** Time stamp in the stream's units. */
  readonly pts: bigint;
  /** Seconds after the first frame. */
  readonly seconds: number;
};

/** What was met on the way. */
export type DecodeNotes = { errors: number };

/** Codecs whose FFmpeg decoders export motion vectors. */
const WITH_VECTORS = new Set(['h264', 'mpeg4', 'mpeg2video', 'mpeg1video', 'h263', 'msmpeg4v3', 'flv1', 'wmv2']);

/** Decodes frames from the beginning, or a part: seeks to the key frame before `start`. */
export async function* decodeFrames(
  av: Av,
  input: OpenInput,
  options: {
    readonly threads: number;
    readonly vectors: boolean;
    readonly frameSeconds: number;
    readonly part?: { readonly start: number; readonly end: number };
    readonly notes: DecodeNotes;
    /** Called now and then; lets the channel to the parent flow. */
    readonly pause: () => Promise<void>;
  },
): AsyncGenerator<DecodedFrame, void, undefined> {
  const { context, stream } = input;
  const { notes, part } = options;
  const { AVERROR_EOF, AVERROR_EAGAIN } = av.constants;
  const hasOwn = options.vectors && hasVectors(av.avGetCodecName(stream.codecpar.codecId) ?? '');
  const decoder = openDecoder(av, input, options.threads, hasOwn ? av.constants.AV_CODEC_FLAG2_EXPORT_MVS : undefined);
  const packet = new av.Packet();
  const frame = new av.Frame();
  packet.alloc();
  frame.alloc();
  const unit = stream.timeBase.num / stream.timeBase.den;
  const streamStart = secondsOf(stream.startTime, stream) ?? 0;
  if (part !== undefined && part.start > 0) {
    context.seekFrameSync(-1, BigInt(Math.floor((streamStart + part.start) * 1e6)), av.constants.AVSEEK_FLAG_BACKWARD);
    decoder.flushBuffers();
  }
  let index = 0;
  let first: number | undefined = part === undefined ? undefined : streamStart + part.start;
  let next = part === undefined ? 0 : (first ?? 0);
  let hasSeen = false;
  try {
    for (let isFlushing = false; ; ) {
      if (!isFlushing) {
        const read = context.readFrameSync(packet);
        if (read < 0) {
          if (read !== AVERROR_EOF) notes.errors++;
          isFlushing = true;
          decoder.sendPacketSync(null);
        } else if (packet.streamIndex !== stream.index) {
          packet.unref();
          continue;
        } else {
          const sent = decoder.sendPacketSync(packet);
          if (sent < 0 && sent !== AVERROR_EAGAIN && hasSeen) notes.errors++;
          packet.unref();
        }
      }
      for (;;) {
        const got = decoder.receiveFrameSync(frame);
        if (got === AVERROR_EAGAIN) break;
        if (got === AVERROR_EOF) return;
        if (got < 0) {
          notes.errors++;
          if (isFlushing) return;
          break;
        }
        const stated = frame.bestEffortTimestamp;
        const time = stated === NO_TIME ? next : Number(stated) * unit;
        const length = frame.duration > 0n ? Number(frame.duration) * unit : options.frameSeconds;
        next = time + length;
        first ??= time;
        const seconds = time - first;
        if (part !== undefined && seconds < -options.frameSeconds / 2) {
          frame.unref();
          continue;
        }
        if (part !== undefined && time - streamStart >= part.end - options.frameSeconds / 2) return;
        hasSeen = true;
        if (frame.decodeErrorFlags !== 0) notes.errors++;
        yield {
          frame,
          index,
          pts: stated === NO_TIME ? BigInt(Math.round(time / unit)) : stated,
          seconds: Math.max(0, seconds),
        };
        index++;
        frame.unref();
        if (index % 8 === 0) await options.pause();
      }
    }
  } finally {
    packet.free();
    frame.free();
    decoder.freeContext();
  }
}

/** Whether frames of this codec carry motion vectors. */
export const hasVectors = (codec: string): boolean => WITH_VECTORS.has(codec);
