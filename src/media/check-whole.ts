// Is the file complete? Walks the outermost boxes of a container (a handful of small reads) and compares their stated
// sizes with the file's. Decodes nothing; knows nothing of codecs.
import { type FileHandle, open } from 'node:fs/promises';
import type { SourceFile } from './check-file.ts';

/** What the outermost structure tells. */
export type Wholeness = {
  /** Why the file is incomplete, in words; undefined when nothing is missing or the format does not tell. */
  readonly problem?: string;
  /** False when the index without which nothing can be read is missing (MP4 `moov`). */
  readonly hasIndex: boolean;
};

/** Checks MP4/MOV boxes, the Matroska segment, the RIFF size of AVI and the packet grid of MPEG-TS. */
export async function checkWhole(file: SourceFile): Promise<Wholeness> {
  const handle = await open(file.path, 'r');
  try {
    switch (file.demuxer) {
      case 'mov':
        return await checkBoxes(handle, file.sizeBytes);
      case 'matroska':
        return await checkSegment(handle, file.sizeBytes);
      case 'avi':
        return await checkRiff(handle, file.sizeBytes);
      case 'mpegts':
        return file.sizeBytes % 188 === 0 || file.sizeBytes % 192 === 0
          ? { hasIndex: true }
          : { hasIndex: true, problem: 'the file ends inside a transport packet' };
      default:
        return { hasIndex: true };
    }
  } finally {
    await handle.close();
  }
}

async function bytesAt(handle: FileHandle, position: number, count: number): Promise<DataView> {
  const buffer = new Uint8Array(count);
  const { bytesRead } = await handle.read(buffer, 0, count, position);
  return new DataView(buffer.buffer, 0, bytesRead);
}

const ascii = (view: DataView, at: number): string =>
  String.fromCharCode(view.getUint8(at), view.getUint8(at + 1), view.getUint8(at + 2), view.getUint8(at + 3));

async function checkBoxes(handle: FileHandle, sizeBytes: number): Promise<Wholeness> {
  let hasIndex = false;
  let position = 0;
  // Fragmented files hold one box pair per fragment; the limit only guards against hostile chains of tiny boxes.
  for (let count = 0; position < sizeBytes && count < 100_000; count++) {
    const header = await bytesAt(handle, position, 16);
    if (header.byteLength < 8) return { hasIndex, problem: 'the file ends inside a box header' };
    const type = ascii(header, 4);
    let size = header.getUint32(0);
    if (size === 1) size = header.byteLength < 16 ? 0 : Number(header.getBigUint64(8));
    else if (size === 0) size = sizeBytes - position;
    if (!/^[\x20-\x7e\xa9]{4}$/.test(type) || size < 8)
      return hasIndex ? { hasIndex } : { hasIndex, problem: 'damaged box structure' };
    const missing = position + size - sizeBytes;
    if (missing > 0)
      return { hasIndex, problem: `cut off: ${missing} of the ${size} bytes of its "${type.trim()}" box are missing` };
    hasIndex ||= type === 'moov';
    position += size;
  }
  return hasIndex ? { hasIndex } : { hasIndex, problem: 'its index (the "moov" box) is missing' };
}

/** Reads an EBML variable-length number: `value` is -1 for "unknown". */
function vint(view: DataView, at: number): { value: number; length: number } | undefined {
  if (at >= view.byteLength) return undefined;
  const first = view.getUint8(at);
  const length = Math.clz32(first) - 23;
  if (length > 8 || at + length > view.byteLength) return undefined;
  let value = first & (0xff >> length);
  let isUnknown = value === 0xff >> length;
  for (let i = 1; i < length; i++) {
    const byte = view.getUint8(at + i);
    value = value * 256 + byte;
    isUnknown &&= byte === 0xff;
  }
  return { value: isUnknown ? -1 : value, length };
}

async function checkSegment(handle: FileHandle, sizeBytes: number): Promise<Wholeness> {
  const head = await bytesAt(handle, 0, 4096);
  const ebml = vint(head, 4);
  const at = ebml === undefined || ebml.value < 0 ? -1 : 4 + ebml.length + ebml.value;
  if (at < 0 || at + 5 > head.byteLength || head.getUint32(at) !== 0x18538067) return { hasIndex: true };
  const segment = vint(head, at + 4);
  if (segment === undefined || segment.value < 0) return { hasIndex: true };
  const missing = at + 4 + segment.length + segment.value - sizeBytes;
  return missing > 0
    ? { hasIndex: true, problem: `cut off: ${missing} bytes are missing at the end` }
    : { hasIndex: true };
}

async function checkRiff(handle: FileHandle, sizeBytes: number): Promise<Wholeness> {
  const head = await bytesAt(handle, 0, 12);
  const missing = 8 + head.getUint32(4, true) - sizeBytes;
  return missing > 1
    ? { hasIndex: true, problem: `cut off: ${missing} bytes are missing at the end` }
    : { hasIndex: true };
}
