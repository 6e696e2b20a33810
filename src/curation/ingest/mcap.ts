// Camera topics of an MCAP log as videos: JPEG and PNG images of ROS 2 (`sensor_msgs/msg/CompressedImage`, CDR) and of
// Foxglove (`foxglove.CompressedImage`, protobuf or JSON). Pictures are put on a constant rate by their times: each output
// frame shows the newest picture. Encoded streams (`foxglove.CompressedVideo`: H.264, H.265, VP9, AV1) are put into Matroska
// as they are, with the times of the log; what comes before the first key picture is left out.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { OrreryError, throwIfAborted } from '../../base/index.ts';
import { type McapMessage, makeFolder, openFileAccess, readMcap } from '../../formats/index.ts';
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

/** Writes each image topic of a log as a video into `folder`, once; returns them as units. */
export async function mcapVideos(path: string, folder: string, signal?: AbortSignal): Promise<VideoUnit[]> {
  const times = new Map<string, bigint[]>();
  const streams = new Set<string>();
  for (const { channel, logTime } of messagesOf(path)) {
    if (IMAGE.test(channel.schema)) {
      const list = times.get(channel.topic);
      if (list === undefined) times.set(channel.topic, [logTime]);
      else list.push(logTime);
    } else if (VIDEO.test(channel.schema)) streams.add(channel.topic);
  }
  if (times.size + streams.size === 0)
    throw new OrreryError(
      'data',
      `${path}: no camera topics; need messages of type sensor_msgs/msg/CompressedImage, foxglove.CompressedImage or foxglove.CompressedVideo`,
    );
  makeFolder(folder);
  const units: VideoUnit[] = [];
  for (const topic of [...streams].sort()) {
    throwIfAborted(signal);
    const name = `${nameOf(path, topic)}.mkv`;
    const file = join(folder, name);
    const first = writeStream(path, topic, file);
    units.push({ name, path: file, idPath: `${path}#${topic}`, tags: { log: path, topic, start_ns: String(first) } });
  }
  for (const [topic, stamps] of [...times].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const name = `${nameOf(path, topic)}.mp4`;
    const file = join(folder, name);
    const ordered = [...stamps].sort((a, b) => (a < b ? -1 : 1));
    const [first, last] = [ordered[0]!, ordered.at(-1)!];
    const seconds = Number(last - first) / 1e9;
    const fps = Math.max(
      1,
      Math.min(120, Math.round(stamps.length > 1 && seconds > 0 ? (stamps.length - 1) / seconds : 10)),
    );
    if (!existsSync(file))
      await encodeMp4(framesOf(path, topic, first, fps), { path: file, fps, crf: 14, ...(signal && { signal }) });
    units.push({ name, path: file, idPath: `${path}#${topic}`, tags: { log: path, topic, start_ns: String(first) } });
  }
  return units;
}

const nameOf = (path: string, topic: string): string =>
  `${basename(path, '.mcap')}-${topic.replace(/[^\w-]+/g, '_').replace(/^_/, '')}`;

/** Writes an encoded topic to a file, unless it is there. Time of its first picture, nanoseconds. */
function writeStream(path: string, topic: string, file: string): bigint {
  const isThere = existsSync(file);
  let writer: ReturnType<typeof createMatroska> | undefined;
  let first: bigint | undefined;
  let last = 0;
  try {
    for (const message of messagesOf(path)) {
      if (message.channel.topic !== topic) continue;
      const { format, bytes } = payloadOf(message);
      const codec = STREAM_CODECS[format];
      if (codec === undefined)
        throw new OrreryError(
          'unsupported',
          `${path}: topic ${topic} holds ${JSON.stringify(format)}; need one of ${Object.keys(STREAM_CODECS).join(', ')}`,
        );
      const isKey = isKeyPicture(format, bytes);
      if (first === undefined && !isKey) continue;
      first ??= message.logTime;
      if (isThere) return first;
      writer ??= createMatroska(file, codec);
      // Messages may be logged out of order by a little; decoders want times that grow.
      last = Math.max(last + (last > 0 ? 1 : 0), Number(message.logTime - first) / 1e6);
      writer.add(bytes, last, isKey);
    }
  } catch (error) {
    writer?.abort();
    throw error;
  }
  if (first === undefined || writer === undefined)
    throw new OrreryError('data', `${path}: topic ${topic} has no key picture, so that nothing of it can be decoded`);
  writer.finish();
  return first;
}

async function* framesOf(path: string, topic: string, first: bigint, fps: number): AsyncGenerator<Frames> {
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
  for (const message of messagesOf(path)) {
    if (message.channel.topic !== topic) continue;
    const at = (Number(message.logTime - first) / 1e9) * fps;
    // The picture before holds until this one begins.
    for (; shown !== undefined && index + 0.5 < at; index++) yield shown;
    const { data, info } = await decoded(payloadOf(message).bytes).catch((cause: Error) => {
      throw new OrreryError('data', `${path}: topic ${topic} has a picture that cannot be read (${cause.message})`, {
        cause,
      });
    });
    size ??= info;
    shown = { dtype: 'u8', shape: [1, info.height, info.width, 3], data: new Uint8Array(data) };
  }
  if (shown !== undefined) yield shown;
}
