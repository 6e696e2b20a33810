// MCAP logs (mcap.dev, specification version 0): channels, schemas and messages in file order, one chunk in memory at a time.
// Reads from the front, without the index, so that a log that was cut off gives what it has. Chunks may be plain, LZ4 or zstd.
import { decompress as unzstd } from 'fzstd';
import { OrreryError } from '../base/index.ts';

/** A channel of a log. */
export type McapChannel = {
  readonly id: number;
  readonly topic: string;
  /** `cdr`, `protobuf`, `json`, … */
  readonly messageEncoding: string;
  /** Name of the message type, such as `sensor_msgs/msg/CompressedImage`. */
  readonly schema: string;
};

/** A message. */
export type McapMessage = {
  readonly channel: McapChannel;
  /** Nanoseconds. */
  readonly logTime: bigint;
  readonly data: Uint8Array;
};

const MAGIC = [0x89, 0x4d, 0x43, 0x41, 0x50, 0x30, 0x0d, 0x0a];
const MAX_CHUNK = 2 ** 31 - 1;
const OP = { footer: 2, schema: 3, channel: 4, message: 5, chunk: 6, dataEnd: 15 } as const;

/** Reads `length` bytes at `position`; fewer at the end of the file. */
export type ReadAt = (position: number, length: number) => Uint8Array;

/** Opens LZ4 frames; given by the caller, because the decoder is CommonJS. */
export type Unlz4 = (bytes: Uint8Array, size: number) => Uint8Array;

/** Messages of a log in file order. A log that ends early ends the stream; damaged records throw. */
export function* readMcap(readAt: ReadAt, source: string, unlz4: Unlz4): Generator<McapMessage> {
  const magic = readAt(0, 8);
  if (MAGIC.some((b, i) => magic[i] !== b))
    throw new OrreryError('data', `${source}: not an MCAP log; need a file that begins with its magic bytes`);
  const schemas = new Map<number, string>();
  const channels = new Map<number, McapChannel>();
  for (let position = 8; ; ) {
    const head = readAt(position, 9);
    if (head.length < 9) return;
    const op = head[0]!;
    const length = Number(new DataView(head.buffer, head.byteOffset).getBigUint64(1, true));
    if (!Number.isSafeInteger(length))
      throw new OrreryError('data', `${source}: a record of ${length} bytes at byte ${position}; the log is damaged`);
    position += 9;
    if (op === OP.footer || op === OP.dataEnd) return;
    if (op === OP.schema || op === OP.channel || op === OP.message || op === OP.chunk) {
      if (length > MAX_CHUNK)
        throw new OrreryError(
          'data',
          `${source}: a record of ${length} bytes at byte ${position - 9}; need chunks below 2 GiB`,
        );
      const body = readAt(position, length);
      if (body.length < length) return;
      yield* recordOf(op, body, schemas, channels, source, unlz4);
    }
    position += length;
  }
}

function* recordOf(
  op: number,
  body: Uint8Array,
  schemas: Map<number, string>,
  channels: Map<number, McapChannel>,
  source: string,
  unlz4: Unlz4,
): Generator<McapMessage> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const decoder = new TextDecoder();
  const text = (at: number): [string, number] => {
    const n = view.getUint32(at, true);
    return [decoder.decode(body.subarray(at + 4, at + 4 + n)), at + 4 + n];
  };
  try {
    if (op === OP.schema) schemas.set(view.getUint16(0, true), text(2)[0]);
    else if (op === OP.channel) {
      const id = view.getUint16(0, true);
      const [topic, after] = text(4);
      channels.set(id, {
        id,
        topic,
        messageEncoding: text(after)[0],
        schema: schemas.get(view.getUint16(2, true)) ?? '',
      });
    } else if (op === OP.message) {
      const channel = channels.get(view.getUint16(0, true));
      if (channel !== undefined) yield { channel, logTime: view.getBigUint64(6, true), data: body.subarray(22) };
    } else {
      const size = Number(view.getBigUint64(16, true));
      const [compression, at] = text(28);
      const stored = Number(view.getBigUint64(at, true));
      const bytes = body.subarray(at + 8, at + 8 + stored);
      if (size > MAX_CHUNK)
        throw new OrreryError('data', `${source}: a chunk of ${size} bytes; need chunks below 2 GiB`);
      yield* recordsIn(unpack(bytes, compression, size, source, unlz4), schemas, channels, source, unlz4);
    }
  } catch (cause) {
    if (cause instanceof OrreryError) throw cause;
    throw new OrreryError(
      'data',
      `${source}: a damaged record (${(cause as Error).message}); record or copy it again`,
      { cause },
    );
  }
}

function unpack(bytes: Uint8Array, compression: string, size: number, source: string, unlz4: Unlz4): Uint8Array {
  if (compression === '') return bytes;
  if (compression === 'zstd') return unzstd(bytes, new Uint8Array(size));
  if (compression === 'lz4') return unlz4(bytes, size);
  throw new OrreryError(
    'unsupported',
    `${source}: chunks compressed with ${JSON.stringify(compression)}; need none, lz4 or zstd`,
  );
}

function* recordsIn(
  bytes: Uint8Array,
  schemas: Map<number, string>,
  channels: Map<number, McapChannel>,
  source: string,
  unlz4: Unlz4,
): Generator<McapMessage> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 9 <= bytes.length; ) {
    const op = bytes[at]!;
    const length = Number(view.getBigUint64(at + 1, true));
    if (op !== OP.chunk && at + 9 + length <= bytes.length)
      yield* recordOf(op, bytes.subarray(at + 9, at + 9 + length), schemas, channels, source, unlz4);
    at += 9 + length;
  }
}
