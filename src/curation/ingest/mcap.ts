// Camera topics of an MCAP log as videos: JPEG and PNG images of ROS 2 (`sensor_msgs/msg/CompressedImage`, CDR) and of
// Foxglove (`foxglove.CompressedImage`, protobuf or JSON). Pictures are put on a constant rate by their times: each output
// frame shows the newest picture. H.264 topics (`foxglove.CompressedVideo`) are named and refused.
import { closeSync, existsSync, mkdirSync, openSync, readSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import sharp from 'sharp';
import { OrreryError } from '../../base/index.ts';
import { type McapMessage, readMcap } from '../../formats/index.ts';
import { encodeMp4, type Frames } from '../../media/index.ts';
import type { VideoUnit } from '../pass/job.ts';

const IMAGE = /CompressedImage$/;
const VIDEO = /CompressedVideo$/;

/** Whether a file name is that of a log. */
export const isMcap = (path: string): boolean => /\.mcap$/i.test(path);

function* messagesOf(path: string): Generator<McapMessage> {
  const lz4 = createRequire(import.meta.url)('lz4js') as { decompress(bytes: Uint8Array, size?: number): Uint8Array };
  const fd = openSync(path, 'r');
  try {
    const size = statSync(path).size;
    const readAt = (position: number, length: number): Uint8Array => {
      const bytes = new Uint8Array(Math.max(0, Math.min(length, size - position)));
      let done = 0;
      while (done < bytes.length) {
        const got = readSync(fd, bytes, done, bytes.length - done, position + done);
        if (got === 0) break;
        done += got;
      }
      return bytes.subarray(0, done);
    };
    yield* readMcap(readAt, path, (bytes, n) => lz4.decompress(bytes, n));
  } finally {
    closeSync(fd);
  }
}

/** The picture inside a message: the bytes of a JPEG or PNG file. */
export function pictureOf(message: McapMessage): Uint8Array {
  const { data, channel } = message;
  if (channel.messageEncoding === 'json') {
    const value = JSON.parse(new TextDecoder().decode(data)) as { data?: string };
    return new Uint8Array(Buffer.from(value.data ?? '', 'base64'));
  }
  if (channel.messageEncoding === 'protobuf') return protobufBytes(data, 2);
  // CDR: 4 bytes of encapsulation, header {sec, nsec, frame_id}, format, then the bytes. Strings end in a zero byte; numbers
  // are aligned to four bytes after the encapsulation.
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const little = data[1] === 1;
  let at = 4 + 8;
  for (let string = 0; string < 2; string++) {
    at = 4 + Math.ceil((at - 4) / 4) * 4;
    at += 4 + view.getUint32(at, little);
  }
  at = 4 + Math.ceil((at - 4) / 4) * 4;
  return data.subarray(at + 4, at + 4 + view.getUint32(at, little));
}

/** Field of length-delimited bytes in a protobuf message. */
function protobufBytes(data: Uint8Array, field: number): Uint8Array {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = data[at++]!;
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
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
  throw new OrreryError('data', `a protobuf image message without field ${field}`);
}

/** Writes each image topic of a log as a video into `folder`, once; returns them as units. */
export async function mcapVideos(path: string, folder: string, signal?: AbortSignal): Promise<VideoUnit[]> {
  const times = new Map<string, bigint[]>();
  const others = new Set<string>();
  for (const { channel, logTime } of messagesOf(path)) {
    if (IMAGE.test(channel.schema)) times.set(channel.topic, [...(times.get(channel.topic) ?? []), logTime]);
    else if (VIDEO.test(channel.schema)) others.add(channel.topic);
  }
  if (times.size === 0)
    throw new OrreryError(
      others.size > 0 ? 'unsupported' : 'data',
      others.size > 0
        ? `${path}: its video topics (${[...others].join(', ')}) hold encoded video streams, which are not read yet; need CompressedImage topics, or export them as MP4 first`
        : `${path}: no camera topics; need messages of type sensor_msgs/msg/CompressedImage or foxglove.CompressedImage`,
    );
  mkdirSync(folder, { recursive: true });
  const units: VideoUnit[] = [];
  for (const [topic, stamps] of [...times].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const name = `${basename(path, '.mcap')}-${topic.replace(/[^\w-]+/g, '_').replace(/^_/, '')}.mp4`;
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

async function* framesOf(path: string, topic: string, first: bigint, fps: number): AsyncGenerator<Frames> {
  let size: { width: number; height: number } | undefined;
  let shown: Frames | undefined;
  let index = 0;
  for (const message of messagesOf(path)) {
    if (message.channel.topic !== topic) continue;
    const at = (Number(message.logTime - first) / 1e9) * fps;
    // The picture before holds until this one begins.
    for (; shown !== undefined && index + 0.5 < at; index++) yield shown;
    const image = sharp(pictureOf(message)).removeAlpha().toColourspace('srgb');
    if (size === undefined) {
      const { width, height } = await image.metadata();
      size = { width: Math.max(2, width - (width % 2)), height: Math.max(2, height - (height % 2)) };
    }
    const { data, info } = await image
      .resize(size.width, size.height, { fit: 'cover' })
      .raw()
      .toBuffer({ resolveWithObject: true });
    shown = { dtype: 'u8', shape: [1, info.height, info.width, 3], data: new Uint8Array(data) };
  }
  if (shown !== undefined) yield shown;
}
