// Runs in a worker process: one clip from decoded frames to a file that appears only when it is complete. Times are those
// of the source, so that a variable frame rate stays what it was. Asynchronous calls only: the synchronous encoder path of
// node-av crashes at exit with threaded encoders.
import { renameSync, rmSync, statSync } from 'node:fs';
import type { CodecContext, FormatContext, Frame, Stream } from 'node-av/lib';
import { WorkFailure } from '../../media/work-failure.ts';
import type { Av } from '../../media/worker-open.ts';
import type { ClipAudio } from './audio.ts';

/** Encoders that clips may be written with, best first for `auto`. */
export const ENCODERS = ['h264_nvenc', 'libx264', 'libopenh264', 'libsvtav1', 'libvpx-vp9'] as const;

/** Name of an encoder. */
export type EncoderName = (typeof ENCODERS)[number];

/** How clips are encoded. */
export type ClipEncoding = {
  readonly encoder: EncoderName;
  /** Constant quality, smaller is better: x264 0…51, SVT-AV1 and VP9 0…63. */
  readonly crf: number;
  /** x264 speed preset. */
  readonly preset: string;
  /** Kilobits per second instead of constant quality. */
  readonly kilobits?: number;
  readonly threads: number;
};

/** Facts of the source that the encoder needs. */
export type ClipSource = {
  readonly width: number;
  readonly height: number;
  readonly timeBase: { readonly num: number; readonly den: number };
  readonly fps: number;
  readonly colour: {
    readonly space: number;
    readonly primaries: number;
    readonly transfer: number;
    readonly range: number;
  };
};

/** What was written. */
export type WrittenClip = {
  readonly frames: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly encoder: string;
};

/** A clip being written. */
export type ClipWriter = {
  readonly frames: number;
  /** @param pts time of the frame in the source's time base */
  write(frame: Frame, pts: bigint): Promise<void>;
  /** Gives the clip its name. */
  finish(path: string): Promise<WrittenClip>;
  /** Removes what was written. */
  abort(): Promise<void>;
};

function settingsOf({ encoder, crf, preset, kilobits }: ClipEncoding): Record<string, string> {
  switch (encoder) {
    case 'libx264':
      return { preset, 'x264-params': 'keyint=48', ...(kilobits === undefined ? { crf: `${crf}` } : {}) };
    case 'h264_nvenc':
      // The published settings of the reference pipeline.
      return {
        rc: 'vbr',
        ...(kilobits === undefined ? { cq: '21' } : {}),
        tune: 'hq',
        b_ref_mode: 'middle',
        'temporal-aq': '1',
        'spatial-aq': '1',
        'rc-lookahead': '20',
      };
    case 'libsvtav1':
      return { preset: '8', ...(kilobits === undefined ? { crf: `${crf}` } : {}), 'svtav1-params': 'lp=1' };
    case 'libvpx-vp9':
      return { deadline: 'good', 'cpu-used': '4', ...(kilobits === undefined ? { crf: `${crf}` } : {}) };
    default:
      return {};
  }
}

/** The first encoder of the list that can really be opened on this machine. */
export async function chooseEncoder(av: Av, wanted: EncoderName | 'auto'): Promise<EncoderName> {
  const names = wanted === 'auto' ? ENCODERS : [wanted];
  for (const name of names) {
    const codec = av.Codec.findEncoderByName(name as Parameters<Av['Codec']['findEncoderByName']>[0]);
    if (codec === null) continue;
    const trial = new av.CodecContext();
    trial.allocContext3(codec);
    trial.width = 256;
    trial.height = 256;
    trial.pixelFormat = av.constants.AV_PIX_FMT_YUV420P;
    trial.timeBase = new av.Rational(1, 30);
    trial.framerate = new av.Rational(30, 1);
    const opened = await trial.open2(codec, null);
    trial.freeContext();
    if (opened >= 0) return name;
  }
  throw new WorkFailure('internal', `no encoder of ${names.join(', ')} can be opened here`, 'choose another --encoder');
}

/** Starts a clip under a temporary name. Sound, when given, is copied beside the pictures and freed with the clip. */
export async function openClip(
  av: Av,
  temporary: string,
  source: ClipSource,
  encoding: ClipEncoding,
  audio?: ClipAudio,
): Promise<ClipWriter> {
  const c = av.constants;

  const check = (what: string, code: number): void => {
    if (code >= 0) return;
    const text = av.FFmpegError.strerror(code);
    const isDisk = /space|permission|read-only|input\/output|no such file/i.test(text);
    throw new WorkFailure(isDisk ? 'disk' : 'internal', `${what}: ${text}`);
  };
  const format: FormatContext = new av.FormatContext();
  const encoder: CodecContext = new av.CodecContext();
  const packet = new av.Packet();
  const own = new av.Frame();
  let stream: Stream;
  let sound: Stream | undefined;
  let frames = 0;
  let lastPts = -1n;
  let isOpen = true;
  const free = (): void => {
    if (!isOpen) return;
    isOpen = false;
    packet.free();
    own.free();
    audio?.free();
    encoder.freeContext();
    format.freeContext();
  };
  try {
    check('cannot start MP4', format.allocOutputContext2(null, 'mp4', `file:${temporary}`));
    const codec = av.Codec.findEncoderByName(encoding.encoder as Parameters<Av['Codec']['findEncoderByName']>[0]);
    if (codec === null) throw new WorkFailure('internal', `no encoder ${encoding.encoder} here`);
    encoder.allocContext3(codec);
    encoder.width = source.width;
    encoder.height = source.height;
    encoder.pixelFormat = c.AV_PIX_FMT_YUV420P;
    encoder.timeBase = new av.Rational(source.timeBase.num, source.timeBase.den);
    encoder.framerate = new av.Rational(Math.round(source.fps * 1000), 1000);
    encoder.sampleAspectRatio = new av.Rational(1, 1);
    encoder.colorSpace = source.colour.space as typeof encoder.colorSpace;
    encoder.colorPrimaries = source.colour.primaries as typeof encoder.colorPrimaries;
    encoder.colorTrc = source.colour.transfer as typeof encoder.colorTrc;
    encoder.colorRange = source.colour.range as typeof encoder.colorRange;
    encoder.threadCount = encoding.threads;
    if (encoding.encoder !== 'libx264') encoder.gopSize = 48;
    encoder.bitRate = BigInt((encoding.kilobits ?? (encoding.encoder === 'libopenh264' ? 4000 : 0)) * 1000);
    encoder.setFlags(c.AV_CODEC_FLAG_GLOBAL_HEADER, c.AV_CODEC_FLAG_BITEXACT);
    for (const [name, value] of Object.entries(settingsOf(encoding)))
      check(`encoder option ${name}`, encoder.setOption(name, value));
    check('the encoder refuses the settings', await encoder.open2(codec, null));
    stream = format.newStream(null);
    stream.timeBase = encoder.timeBase;
    stream.avgFrameRate = encoder.framerate;
    check('cannot set up the stream', stream.codecpar.fromContext(encoder));
    if (encoding.encoder.includes('264')) stream.codecpar.codecTag = 'avc1';
    if (audio !== undefined) {
      sound = format.newStream(null);
      check('cannot copy the sound', audio.stream.codecpar.copy(sound.codecpar));
      sound.codecpar.codecTag = 0;
      sound.timeBase = audio.stream.timeBase;
    }
    format.setFlags(c.AVFMT_FLAG_BITEXACT);
    check('cannot write the clip', await format.openOutput());
    check('cannot write the clip', await format.writeHeader(av.Dictionary.fromObject({ movflags: '+faststart' })));
    packet.alloc();
    own.alloc();
  } catch (error) {
    free();
    rmSync(temporary, { force: true });
    throw error;
  }

  const drain = async (): Promise<void> => {
    for (;;) {
      const got = await encoder.receivePacket(packet);
      if (got === c.AVERROR_EOF || got === c.AVERROR_EAGAIN) return;
      check('encoding', got);
      packet.streamIndex = stream.index;
      packet.rescaleTs(encoder.timeBase, stream.timeBase);
      const written = await format.interleavedWriteFrame(packet);
      packet.unref();
      check('writing', written);
    }
  };
  /** Copies the sound before `seconds` of the source. */
  const copySound = async (seconds: number): Promise<void> => {
    if (audio === undefined || sound === undefined) return;
    for (let heard = audio.next(seconds); heard !== undefined; heard = audio.next(seconds)) {
      heard.streamIndex = sound.index;
      heard.rescaleTs(audio.stream.timeBase, sound.timeBase);
      check('writing', await format.interleavedWriteFrame(heard));
    }
  };
  const unit = source.timeBase.num / source.timeBase.den;
  let first: bigint | undefined;
  return {
    get frames() {
      return frames;
    },
    async write(frame, pts) {
      first ??= pts;
      own.unref();
      own.ref(frame);
      let at = pts - first;
      if (at <= lastPts) at = lastPts + 1n;
      lastPts = at;
      own.pts = at;
      own.pictType = c.AV_PICTURE_TYPE_NONE;
      check('encoding', await encoder.sendFrame(own));
      own.unref();
      frames++;
      await drain();
      await copySound(Number(pts) * unit);
    },
    async finish(path) {
      try {
        check('encoding', await encoder.sendFrame(null));
        await drain();
        if (first !== undefined) await copySound(Number(first + lastPts) * unit + 1 / source.fps);
        check('finishing the clip', await format.writeTrailer());
        await format.closeOutput();
        const seconds = (Number(lastPts) * source.timeBase.num) / source.timeBase.den + 1 / source.fps;
        free();
        const bytes = statSync(temporary).size;
        renameSync(temporary, path);
        return { frames, bytes, seconds, encoder: encoding.encoder };
      } finally {
        free();
        rmSync(temporary, { force: true });
      }
    },
    async abort() {
      if (!isOpen) return;
      await format.closeOutput();
      free();
      rmSync(temporary, { force: true });
    },
  };
}
