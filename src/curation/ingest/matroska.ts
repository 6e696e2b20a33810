// A minimal Matroska writer (RFC 9559) for one stream of encoded pictures with a time each: what a robot's log holds becomes
// a file that every decoder reads, without re-encoding. No index: the file is read from front to end.
import { createPendingFile, diskError, writeFully } from '../../formats/index.ts';

/** Codecs of `foxglove.CompressedVideo`, with Matroska's names. H.264 and H.265 come as Annex B. */
export const STREAM_CODECS: Readonly<Record<string, string>> = {
  h264: 'V_MPEG4/ISO/AVC',
  h265: 'V_MPEGH/ISO/HEVC',
  vp9: 'V_VP9',
  av1: 'V_AV1',
};

/** Milliseconds of one cluster: the block's own time is a signed 16-bit number. */
const CLUSTER_MS = 5000;

/** An open writer. */
export type MatroskaWriter = {
  /** @param milliseconds after the first picture, never less than the one before */
  add(data: Uint8Array, milliseconds: number, isKey: boolean): void;
  /** Gives the file its name. */
  finish(): void;
  /** Removes what was written. */
  abort(): void;
};

/** Starts a file under a temporary name. */
export function createMatroska(path: string, codec: string): MatroskaWriter {
  const file = createPendingFile(path);
  let position = 0;
  const put = (bytes: Uint8Array): void => {
    try {
      writeFully(file.fd, bytes, position);
      position += bytes.length;
    } catch (error) {
      throw diskError(error, 'write', path);
    }
  };
  const header = element(0x1a45dfa3, [
    element(0x4286, [uint(1)]),
    element(0x42f7, [uint(1)]),
    element(0x42f2, [uint(4)]),
    element(0x42f3, [uint(8)]),
    element(0x4282, [ascii('matroska')]),
    element(0x4287, [uint(4)]),
    element(0x4285, [uint(2)]),
  ]);
  // A segment of unknown size: it ends with the file.
  const segment = Uint8Array.from([0x18, 0x53, 0x80, 0x67, 0x01, 255, 255, 255, 255, 255, 255, 255]);
  const info = element(0x1549a966, [
    element(0x2ad7b1, [uint(1_000_000)]),
    element(0x4d80, [ascii('orrery')]),
    element(0x5741, [ascii('orrery')]),
  ]);
  const track = element(0xae, [
    element(0xd7, [uint(1)]),
    element(0x73c5, [uint(1)]),
    element(0x83, [uint(1)]),
    element(0x9c, [uint(0)]),
    element(0x86, [ascii(codec)]),
    element(0xe0, []),
  ]);
  for (const part of [header, segment, info, element(0x1654ae6b, [track])]) put(part);
  let blocks: Uint8Array[] = [];
  let clusterAt = 0;
  const flush = (): void => {
    if (blocks.length > 0) put(element(0x1f43b675, [element(0xe7, [uint(clusterAt)]), ...blocks]));
    blocks = [];
  };
  return {
    add(data, milliseconds, isKey) {
      const at = Math.round(milliseconds);
      if (blocks.length > 0 && (isKey || at - clusterAt >= CLUSTER_MS)) flush();
      if (blocks.length === 0) clusterAt = at;
      const time = at - clusterAt;
      const head = Uint8Array.from([0x81, (time >> 8) & 255, time & 255, isKey ? 0x80 : 0]);
      blocks.push(element(0xa3, [head, data]));
    },
    finish() {
      flush();
      file.commit();
    },
    abort: file.abort,
  };
}

/** Whether a decoder can start at this picture. VP9 and AV1 are taken as they come. */
export function isKeyPicture(format: string, data: Uint8Array): boolean {
  if (format !== 'h264' && format !== 'h265') return true;
  for (let i = 0; i + 3 < data.length; i++) {
    if (data[i] !== 0 || data[i + 1] !== 0 || data[i + 2] !== 1) continue;
    const kind = format === 'h264' ? data[i + 3]! & 31 : (data[i + 3]! >> 1) & 63;
    // H.264: an IDR slice. H.265: pictures of random access, types 16 to 21.
    if (format === 'h264' ? kind === 5 : kind >= 16 && kind <= 21) return true;
    // The first slice of another kind decides.
    if (format === 'h264' ? kind >= 1 && kind <= 4 : kind <= 15) return false;
  }
  return false;
}

function element(id: number, content: readonly Uint8Array[]): Uint8Array {
  const length = content.reduce((n, c) => n + c.length, 0);
  const name = bytesOf(id);
  const out = new Uint8Array(name.length + 8 + length);
  out.set(name);
  // Sizes of eight bytes: a marker, then 56 bits.
  out[name.length] = 1;
  new DataView(out.buffer).setUint32(name.length + 4, length % 2 ** 32);
  out[name.length + 3] = Math.floor(length / 2 ** 32);
  let at = name.length + 8;
  for (const part of content) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

function bytesOf(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let v = value; v > 0; v = Math.floor(v / 256)) bytes.unshift(v % 256);
  return Uint8Array.from(bytes);
}

const uint = (value: number): Uint8Array => (value === 0 ? new Uint8Array(1) : bytesOf(value));
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
