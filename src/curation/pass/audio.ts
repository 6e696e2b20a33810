// Runs in a worker process: the sound of a clip, copied without re-encoding. Each clip reads the source's first audio track
// through a demuxer of its own, next to the frames it is given, so that sound that lies later in the file than its pictures
// is not lost and nothing is held in memory.
import type { FormatContext, Packet, Stream } from 'node-av/lib';
import { type Av, NO_TIME, openInput } from '../../media/worker-open.ts';

/** Sound that MP4 can hold as it is. */
const FITS_MP4 = new Set(['aac', 'mp3', 'ac3', 'eac3', 'alac', 'opus', 'flac']);

/** The track of one clip. */
export type ClipAudio = {
  readonly stream: Stream;
  /** Next packet whose time is before `seconds` of the source; its times are relative to the clip's start. */
  next(seconds: number): Packet | undefined;
  free(): void;
};

/** The first audio track of a file. */
export type AudioTrack = { readonly index: number; readonly codec: string; readonly fits: boolean };

/** First audio track of an open file: which it is, its codec, and whether it can go along. */
export function audioOf(av: Av, context: FormatContext): AudioTrack | undefined {
  const stream = context.streams.find((s) => s.codecpar.codecType === av.constants.AVMEDIA_TYPE_AUDIO);
  if (stream === undefined) return undefined;
  const codec = av.avGetCodecName(stream.codecpar.codecId) ?? 'unknown';
  return { index: stream.index, codec, fits: FITS_MP4.has(codec) };
}

/** Opens a track that fits for a clip that begins at `startSeconds`, the time stamp of its first picture. */
export function openClipAudio(
  av: Av,
  source: { readonly path: string; readonly demuxer: string },
  track: AudioTrack,
  startSeconds: number,
): ClipAudio {
  const { context } = openInput(av, source.path, source.demuxer);
  const stream = context.streams[track.index]!;
  for (const other of context.streams) if (other.index !== stream.index) other.discard = av.constants.AVDISCARD_ALL;
  if (startSeconds > 0)
    context.seekFrameSync(-1, BigInt(Math.floor(startSeconds * 1e6)), av.constants.AVSEEK_FLAG_BACKWARD);
  const unit = stream.timeBase.num / stream.timeBase.den;
  const origin = BigInt(Math.round(startSeconds / unit));
  const packet = new av.Packet();
  packet.alloc();
  let isHeld = false;
  let isOver = false;
  return {
    stream,
    next(seconds) {
      for (;;) {
        if (!isHeld) {
          if (isOver) return undefined;
          packet.unref();
          if (context.readFrameSync(packet) < 0) {
            isOver = true;
            return undefined;
          }
          if (packet.streamIndex !== stream.index || packet.pts === NO_TIME) continue;
          // A packet that begins before the first picture is left out: less than 30 ms of sound.
          if (packet.pts < origin) continue;
          isHeld = true;
        }
        if (Number(packet.pts) * unit >= seconds) return undefined;
        isHeld = false;
        const at = packet.pts - origin;
        packet.pts = at;
        packet.dts = at;
        return packet;
      }
    },
    free() {
      packet.free();
      context.closeInputSync();
    },
  };
}
