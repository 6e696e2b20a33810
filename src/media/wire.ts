// Messages between this process and a media process over one socket: a 16-byte header, then raw bytes. No media knowledge.
import type { Readable, Writable } from 'node:stream';
import { OrreryError } from '../base/index.ts';

/** Kinds of messages. JSON kinds carry UTF-8 JSON, frame kinds raw pixels. */
export const MESSAGE = {
  /** parent → child: start a job (JSON). */
  job: 1,
  /** either way: one picture, `time` in seconds. */
  frame: 2,
  /** child → parent: the previous picture again, at another `time`. */
  repeat: 3,
  /** parent → child: no more pictures. */
  end: 4,
  /** child → parent: the job is done (JSON result). */
  done: 5,
  /** child → parent: the job failed (JSON error). */
  failed: 6,
  /** child → parent: still working. */
  alive: 7,
  /** child → parent: facts known before the first picture (JSON). */
  facts: 8,
} as const;

/** One message. */
export type Message = {
  readonly kind: number;
  /** Seconds; 0 where it means nothing. */
  readonly time: number;
  readonly payload: Uint8Array;
};

const HEADER_BYTES = 16;
// One 8192×8192 RGB picture, with room for the JSON kinds.
const MAX_PAYLOAD_BYTES = 8192 * 8192 * 3 + 1024;
const EMPTY = new Uint8Array(0);

/** Packs one message: `[kind u32, byteLength u32, time f64]` little-endian, then the payload. */
export function headerOf(kind: number, byteLength: number, time = 0): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, kind, true);
  view.setUint32(4, byteLength, true);
  view.setFloat64(8, time, true);
  return header;
}

/** Writes one message; resolves when the socket can take more (back pressure). The payload must not change before that. */
export async function writeMessage(
  socket: Writable,
  kind: number,
  payload: Uint8Array = EMPTY,
  time = 0,
): Promise<void> {
  socket.cork();
  socket.write(headerOf(kind, payload.byteLength, time));
  if (payload.byteLength > 0) socket.write(payload);
  socket.uncork();
  await drained(socket);
}

/** Resolves when the stream can take more bytes; throws when it closes before. */
export async function drained(socket: Writable): Promise<void> {
  if (!socket.writableNeedDrain && !socket.destroyed) return;
  await new Promise<void>((resolve, reject) => {
    const finish = (): void => {
      socket.off('drain', finish).off('close', fail).off('error', fail);
      resolve();
    };
    const fail = (): void => {
      socket.off('drain', finish).off('close', fail).off('error', fail);
      reject(new OrreryError('internal', 'the media channel was closed while writing'));
    };
    if (socket.destroyed) fail();
    else socket.on('drain', finish).on('close', fail).on('error', fail);
  });
}

/** A JSON payload. */
export function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** Reads a JSON payload. */
export function jsonOf(payload: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(payload));
}

/** Pulls bytes from a stream; reads nothing ahead but the stream's own buffer, so a slow reader slows the writer. */
export class ByteReader {
  readonly #source: Readable;
  #chunk: Buffer = Buffer.alloc(0);
  #offset = 0;
  #isEnded = false;
  #wake: (() => void) | undefined;

  constructor(source: Readable) {
    this.#source = source;
    const wake = (): void => this.#wake?.();
    const end = (): void => {
      this.#isEnded = true;
      wake();
    };
    source.on('readable', wake).on('end', end).on('close', end).on('error', end);
  }

  /** Fills all of `target`; false when the stream ends before. */
  async fill(target: Uint8Array): Promise<boolean> {
    let filled = 0;
    while (filled < target.byteLength) {
      if (this.#offset === this.#chunk.byteLength) {
        const chunk = this.#source.read() as Buffer | null;
        if (chunk === null) {
          if (this.#isEnded) return false;
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = undefined;
          continue;
        }
        this.#chunk = chunk;
        this.#offset = 0;
      }
      const count = Math.min(target.byteLength - filled, this.#chunk.byteLength - this.#offset);
      target.set(this.#chunk.subarray(this.#offset, this.#offset + count), filled);
      filled += count;
      this.#offset += count;
    }
    return true;
  }
}

/** Pulls messages from a socket. */
export class MessageReader {
  readonly #bytes: ByteReader;

  constructor(socket: Readable) {
    this.#bytes = new ByteReader(socket);
  }

  /**
   * The next message, or undefined when the other side has closed.
   * @param place memory for a picture of that many bytes (to save a copy); default: a fresh array
   */
  async next(place?: (byteLength: number) => Uint8Array): Promise<Message | undefined> {
    const header = new Uint8Array(HEADER_BYTES);
    if (!(await this.#bytes.fill(header))) return undefined;
    const view = new DataView(header.buffer);
    const kind = view.getUint32(0, true);
    const byteLength = view.getUint32(4, true);
    if (byteLength > MAX_PAYLOAD_BYTES)
      throw new OrreryError('internal', `media channel: message of ${byteLength} bytes; please report this`);
    const payload =
      kind === MESSAGE.frame && place !== undefined
        ? place(byteLength)
        : byteLength === 0
          ? EMPTY
          : new Uint8Array(byteLength);
    if (!(await this.#bytes.fill(payload))) return undefined;
    return { kind, time: view.getFloat64(8, true), payload };
  }
}
