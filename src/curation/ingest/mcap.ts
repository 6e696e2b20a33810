// Camera topics of an MCAP log as videos: JPEG and PNG images of ROS 2 (`sensor_msgs/msg/CompressedImage`, CDR) and of
// Foxglove (`foxglove.CompressedImage`, protobuf or JSON). Pictures are put on a constant rate by their times: each output
// frame shows the newest picture. Encoded streams (`foxglove.CompressedVideo`: H.264, H.265, VP9, AV1) are put into Matroska
// as they are, with the times of the log; what comes before the first key picture is left out. A log is read once for all
// of its topics, and not again when a job is continued.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { OrreryError, throwIfAborted } from '../../base/index.ts';
import { type McapMessage, makeFolder, openFileAccess, readMcap, writeFileAtomic } from '../../formats/index.ts';
import { encodeMp4, type Frames } from '../../media/index.ts';
import type { VideoUnit } from '../pass/job.ts';
import { createMatroska, isKeyPicture, STREAM_CODECS } from './matroska.ts';

const IMAGE = /CompressedImage$/;
const VIDEO = /CompressedVideo$/;

/** Whether a file name is that of a log. */
export const isMcap = (path: string): boolean => /\.mcap$/i.test(path);

function* messagesOf(path: string): Generator<McapMessage> {
  const lz4 = createRequire(import.meta.url)('lz4js') as { decompress(bytes: Uint8Array, size?: number): Uint8Array };
  const file = openFileAccess(path);
  try {
    const readAt = (position: number, length: number): Uint8Array => {
      const left = Math.max(0, file.sizeBytes - position);
      return left === 0 ? new Uint8Array(0) : file.read(position, Math.min(length, left));
    };
    yield* readMcap(readAt, path, (bytes, n) => lz4.decompress(bytes, n));
  } finally {
    file.close();
  }
}

/** What a message holds: the bytes of a JPEG or PNG file, or one picture of an encoded stream, and the name of its format. */
function payloadOf({ data, channel }: McapMessage): { readonly format: string; readonly bytes: Uint8Array } {
  const isVideo = VIDEO.test(channel.schema);
  const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes).replace(/\0+$/, '');
  try {
    if (channel.messageEncoding === 'json') {
      const value = JSON.parse(text(data)) as { data?: string; format?: string };
      return { format: value.format ?? '', bytes: new Uint8Array(Buffer.from(value.data ?? '', 'base64')) };
    }
    if (channel.messageEncoding === 'protobuf') {
      const bytes = protobufBytes(data, isVideo ? 3 : 2);
      if (bytes === undefined) throw new Error('no data in it');
      return { format: text(protobufBytes(data, isVideo ? 4 : 3)), bytes };
    }
    // An image is {sec, nsec, frame_id}, format, data; a video message has data before format.
    const [, second, third] = cdrParts(data) as [Uint8Array, Uint8Array, Uint8Array];
    return isVideo ? { format: text(third), bytes: second } : { format: text(second), bytes: third };
  } catch (cause) {
    const why = (cause as Error).message;
    throw new OrreryError('data', `topic ${channel.topic}: a damaged message (${why}); record or copy the log again`, {
      cause,
    });
  }
}

/** The three byte strings of a CDR message after four bytes of encapsulation and a time; lengths are aligned to four bytes. */
function cdrParts(data: Uint8Array): Uint8Array[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const little = data[1] === 1;
  let at = 4 + 8;
  return Array.from({ length: 3 }, () => {
    at = 4 + Math.ceil((at - 4) / 4) * 4;
    const length = view.getUint32(at, little);
    at += 4 + length;
    return data.subarray(at - length, at);
  });
}

/** Field of length-delimited bytes in a protobuf message. */
function protobufBytes(data: Uint8Array, field: number): Uint8Array | undefined {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; at < data.length; shift *= 128) {
      const byte = data[at++]!;
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
    throw new Error('it ends in the middle of a number');
  };
  while (at < data.length) {
    const tag = varint();
    const kind = tag & 7;
    if (kind === 2) {
      const n = varint();
      if (tag >>> 3 === field) return data.subarray(at, at + n);
      at += n;
    } else if (kind === 0) varint();
    else at += kind === 1 ? 8 : 4;
  }
  return undefined;
}

/** Messages of a topic that its rate is taken from. */
const RATE_MESSAGES = 64;
/** Pictures that may wait before the encoder of a topic: a slow encoder makes the reader wait. */
const MAX_WAITING = 8;

/** A topic on its way into a file. */
type TopicSink = {
  readonly file: string;
  /** Takes the next message; waits while the encoder is behind. */
  add(message: McapMessage): Promise<void>;
  /** Completes the file; time of the first picture, nanoseconds. */
  end(): Promise<bigint>;
  abort(): Promise<void>;
};

/** What the list beside the written topics says. */
type TopicList = {
  readonly log: string;
  readonly bytes: number;
  readonly topics: readonly { topic: string; name: string; start: string }[];
};

/** Writes each camera topic of a log as a video into `folder`, all in one reading; returns them as units. */
export async function mcapVideos(path: string, folder: string, signal?: AbortSignal): Promise<VideoUnit[]> {
  const listFile = join(folder, `.${basename(path)}.json`);
  const unitOf = ({ topic, name, start }: TopicList['topics'][number]): VideoUnit => ({
    name,
    path: join(folder, name),
    idPath: `${path}#${topic}`,
    tags: { log: path, topic, start_ns: start },
  });
  if (existsSync(listFile)) {
    const list = JSON.parse(readFileSync(listFile, 'utf8')) as TopicList;
    const units = list.topics.map(unitOf);
    if (list.log === path && list.bytes === sizeOf(path) && units.every((u) => existsSync(u.path))) return units;
  }
  const sinks = new Map<string, TopicSink>();
  try {
    for (const message of messagesOf(path)) {
      throwIfAborted(signal);
      const { topic, schema } = message.channel;
      const isVideo = VIDEO.test(schema);
      if (!isVideo && !IMAGE.test(schema)) continue;
      let sink = sinks.get(topic);
      if (sink === undefined) {
        makeFolder(folder);
        const file = join(folder, `${nameOf(path, topic)}.${isVideo ? 'mkv' : 'mp4'}`);
        sink = isVideo ? streamSink(path, topic, file) : imageSink(path, topic, file, signal);
        sinks.set(topic, sink);
      }
      await sink.add(message);
    }
    if (sinks.size === 0)
      throw new OrreryError(
        'data',
        `${path}: no camera topics; need messages of type sensor_msgs/msg/CompressedImage, foxglove.CompressedImage or foxglove.CompressedVideo`,
      );
    const topics: { topic: string; name: string; start: string }[] = [];
    for (const [topic, sink] of [...sinks].sort(([a], [b]) => (a < b ? -1 : 1)))
      topics.push({ topic, name: basename(sink.file), start: String(await sink.end()) });
    writeFileAtomic(listFile, JSON.stringify({ log: path, bytes: sizeOf(path), topics } satisfies TopicList));
    return topics.map(unitOf);
  } catch (error) {
    await Promise.allSettled([...sinks.values()].map((sink) => sink.abort()));
    throw error;
  }
}

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? -1;

const nameOf = (path: string, topic: string): string =>
  `${basename(path, '.mcap')}-${topic.replace(/[^\w-]+/g, '_').replace(/^_/, '')}`;

/** An encoded topic: its pictures go into Matroska as they are. */
function streamSink(path: string, topic: string, file: string): TopicSink {
  let writer: ReturnType<typeof createMatroska> | undefined;
  let first: bigint | undefined;
  let last = 0;
  return {
    file,
    async add(message) {
      const { format, bytes } = payloadOf(message);
      const codec = STREAM_CODECS[format];
      if (codec === undefined)
        throw new OrreryError(
          'unsupported',
          `${path}: topic ${topic} holds ${JSON.stringify(format)}; need one of ${Object.keys(STREAM_CODECS).join(', ')}`,
        );
      const isKey = isKeyPicture(format, bytes);
      if (first === undefined && !isKey) return;
      first ??= message.logTime;
      writer ??= createMatroska(file, codec);
      // Messages may be logged out of order by a little; decoders want times that grow.
      last = Math.max(last + (last > 0 ? 1 : 0), Number(message.logTime - first) / 1e6);
      writer.add(bytes, last, isKey);
    },
    async end() {
      if (first === undefined || writer === undefined)
        throw new OrreryError(
          'data',
          `${path}: topic ${topic} has no key picture, so that nothing of it can be decoded`,
        );
      writer.finish();
      return first;
    },
    async abort() {
      writer?.abort();
    },
  };
}

/** A picture of a topic, waiting to be encoded. */
type Picture = { readonly time: bigint; readonly bytes: Uint8Array };

/** A topic of single pictures: put on a constant rate, which the first messages tell, and encoded while the log is read. */
function imageSink(path: string, topic: string, file: string, signal: AbortSignal | undefined): TopicSink {
  let early: Picture[] | undefined = [];
  const waiting: Picture[] = [];
  let isOver = false;
  let failure: unknown;
  let encoding: Promise<void> | undefined;
  let first = 0n;
  let wake: (() => void) | undefined;
  let resume: (() => void) | undefined;
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);

  async function* pictures(): AsyncGenerator<Picture> {
    for (;;) {
      const next = waiting.shift();
      resume?.();
      if (next !== undefined) yield next;
      else if (isOver) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  }
  const begin = (): void => {
    const known = early!.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
    early = undefined;
    first = known[0]!.time;
    waiting.push(...known);
    const fps = rateOf(known.map((p) => p.time));
    encoding = encodeMp4(framesOf(path, topic, pictures(), first, fps), {
      path: file,
      fps,
      crf: 14,
      signal: both,
    }).then(
      () => {},
      (error: unknown) => {
        failure = error;
        resume?.();
      },
    );
  };
  return {
    file,
    async add(message) {
      // A copy: a view would hold the whole chunk of the log.
      const picture = { time: message.logTime, bytes: payloadOf(message).bytes.slice() };
      if (early !== undefined) {
        early.push(picture);
        if (early.length === RATE_MESSAGES) begin();
        return;
      }
      while (waiting.length >= MAX_WAITING && failure === undefined)
        await new Promise<void>((resolve) => {
          resume = resolve;
        });
      if (failure !== undefined) throw failure;
      waiting.push(picture);
      wake?.();
    },
    async end() {
      if (early !== undefined) begin();
      isOver = true;
      wake?.();
      await encoding;
      if (failure !== undefined) throw failure;
      return first;
    },
    async abort() {
      isOver = true;
      stop.abort();
      wake?.();
      await encoding;
    },
  };
}

/** Pictures per second by the middle one of the gaps: a pause in the log does not slow its video down. */
function rateOf(times: readonly bigint[]): number {
  const gaps = times.slice(1).map((t, i) => Number(t - times[i]!) / 1e9);
  const sorted = gaps.filter((g) => g > 0).sort((a, b) => a - b);
  const usual = sorted[sorted.length >> 1] ?? 0.1;
  return Math.max(1, Math.min(120, Math.round(1 / usual)));
}

async function* framesOf(
  path: string,
  topic: string,
  pictures: AsyncIterable<Picture>,
  first: bigint,
  fps: number,
): AsyncGenerator<Frames> {
  let size: { width: number; height: number } | undefined;
  let shown: Frames | undefined;
  let index = 0;
  const decoded = async (bytes: Uint8Array) => {
    const image = sharp(bytes).removeAlpha().toColourspace('srgb');
    const { width, height } = size ?? (await image.metadata());
    const even = { width: Math.max(2, width - (width % 2)), height: Math.max(2, height - (height % 2)) };
    return image
      .resize({ ...even, fit: 'cover' })
      .raw()
      .toBuffer({ resolveWithObject: true });
  };
  for await (const { time, bytes } of pictures) {
    const at = (Number(time - first) / 1e9) * fps;
    // The picture before holds until this one begins.
    for (; shown !== undefined && index + 0.5 < at; index++) yield shown;
    const { data, info } = await decoded(bytes).catch((cause: Error) => {
      throw new OrreryError('data', `${path}: topic ${topic} has a picture that cannot be read (${cause.message})`, {
        cause,
      });
    });
    size ??= info;
    shown = { dtype: 'u8', shape: [1, info.height, info.width, 3], data: new Uint8Array(data) };
  }
  if (shown !== undefined) yield shown;
}
