// Zip archives as PyTorch writes them: the directory is read and checked, stored entries are located. Nothing is inflated
// and nothing is extracted. APPNOTE 6.3.10 (PKWARE) names the fields.
import { OrreryError, show } from '../base/index.ts';

/** Bytes that can be read from any place: a file, or an array in memory. */
export type RandomAccess = {
  /** Name for messages. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`; throws when they are not there. */
  read(offset: number, length: number): Uint8Array;
};

/** One entry of the directory. */
export type ZipEntry = {
  readonly name: string;
  /** 0 stored, 8 deflated; only stored entries can be located. */
  readonly method: number;
  /** Bytes of the content. */
  readonly sizeBytes: number;
  readonly headerOffset: number;
};

/** An archive whose directory was checked. */
export type ZipArchive = {
  readonly entries: ReadonlyMap<string, ZipEntry>;
  /** First byte of the content of a stored entry, after its local header was checked. */
  locate(entry: ZipEntry): number;
};

/** Most entries of an archive. */
export const MAX_ZIP_ENTRIES = 300_000;
const MAX_DIRECTORY_BYTES = 64_000_000;
const U32 = 0xffffffff;
const U16 = 0xffff;
const LOCAL_BYTES = 30;

/** An array in memory as a source. */
export function bytesAccess(bytes: Uint8Array, path = 'data'): RandomAccess {
  return {
    path,
    sizeBytes: bytes.length,
    read: (offset, length) => {
      if (offset < 0 || length < 0 || offset + length > bytes.length) {
        throw new OrreryError('data', `${path} ended at byte ${bytes.length}, need ${offset + length}`);
      }
      return bytes.subarray(offset, offset + length);
    },
  };
}

/** Whether a file starts like a zip archive. */
export const isZip = (head: Uint8Array): boolean =>
  head.length >= 4 && head[0] === 0x50 && head[1] === 0x4b && head[2] === 3 && head[3] === 4;

/** Reads and checks the directory: plain names, no duplicates, no links, nothing encrypted, no overlap, all inside the file. */
export function openZip(source: RandomAccess): ZipArchive {
  const fail = (problem: string): OrreryError =>
    new OrreryError('data', `${source.path} is not a sound archive: ${problem}; fetch it again`);
  const { count, start, bytes } = findDirectory(source, fail);
  const view = viewOf(source.read(start, bytes));
  const entries = new Map<string, ZipEntry>();
  const spans: { begin: number; end: number; name: string }[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + 46 > bytes || view.getUint32(at, true) !== 0x02014b50) throw fail(`directory entry ${i} is damaged`);
    const [nameBytes, extraBytes, noteBytes] = [28, 30, 32].map((o) => view.getUint16(at + o, true)) as [
      number,
      number,
      number,
    ];
    const end = at + 46 + nameBytes + extraBytes + noteBytes;
    if (end > bytes) throw fail(`directory entry ${i} is cut off`);
    const name = nameOf(new Uint8Array(view.buffer, view.byteOffset + at + 46, nameBytes), fail);
    const flags = view.getUint16(at + 8, true);
    if ((flags & 0x41) !== 0) throw fail(`${show(name)} is encrypted`);
    // The upper half of the attributes holds the Unix mode when the archive says so.
    const fileType = (view.getUint32(at + 38, true) >>> 16) & 0xf000;
    if (fileType !== 0 && fileType !== 0x8000 && fileType !== 0x4000) throw fail(`${show(name)} is a link or a device`);
    const extra = viewOf(new Uint8Array(view.buffer, view.byteOffset + at + 46 + nameBytes, extraBytes));
    const sizes = zip64(
      [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)],
      extra,
      name,
      fail,
    );
    const [sizeBytes, storedBytes, headerOffset] = sizes;
    at = end;
    if (name.endsWith('/')) {
      if (storedBytes !== 0) throw fail(`folder ${show(name)} has content`);
      continue;
    }
    const method = view.getUint16(end - noteBytes - extraBytes - nameBytes - 46 + 10, true);
    if (method === 0 && sizeBytes !== storedBytes) throw fail(`${show(name)} has two lengths`);
    if (entries.has(name)) throw fail(`two entries are called ${show(name)}`);
    entries.set(name, { name, method, sizeBytes, headerOffset });
    spans.push({ begin: headerOffset, end: headerOffset + LOCAL_BYTES + nameBytes + storedBytes, name });
  }
  if (at !== bytes) throw fail(`the directory holds ${bytes - at} bytes too many`);
  const ends = checkSpans(spans, start, fail);

  return {
    entries,
    locate: (entry) => {
      if (entry.method !== 0) throw fail(`${show(entry.name)} is compressed; re-save the file with torch.save`);
      const local = viewOf(source.read(entry.headerOffset, LOCAL_BYTES));
      if (local.getUint32(0, true) !== 0x04034b50) throw fail(`no entry at byte ${entry.headerOffset}`);
      const offset = entry.headerOffset + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
      if (offset + entry.sizeBytes > ends.get(entry.name)!) throw fail(`${show(entry.name)} runs into its neighbour`);
      return offset;
    },
  };
}

type Fail = (problem: string) => OrreryError;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function findDirectory(source: RandomAccess, fail: Fail): { count: number; start: number; bytes: number } {
  const tailBytes = Math.min(source.sizeBytes, 22 + U16);
  const tailStart = source.sizeBytes - tailBytes;
  const tail = viewOf(source.read(tailStart, tailBytes));
  let at = tailBytes - 22;
  while (
    at >= 0 &&
    !(tail.getUint32(at, true) === 0x06054b50 && at + 22 + tail.getUint16(at + 20, true) === tailBytes)
  ) {
    at--;
  }
  if (at < 0) throw fail('its end is missing, as after a download that broke off');
  let count = tail.getUint16(at + 10, true);
  let bytes = tail.getUint32(at + 12, true);
  let start = tail.getUint32(at + 16, true);
  let end = tailStart + at;
  const disks = tail.getUint16(at + 4, true) | tail.getUint16(at + 6, true);
  if (disks !== 0 && disks !== U16) throw fail('it spans several disks');
  if (count === U16 || bytes === U32 || start === U32) {
    if (end < 20) throw fail('its 64-bit directory is missing');
    const locator = viewOf(source.read(end - 20, 20));
    if (locator.getUint32(0, true) !== 0x07064b50) throw fail('its 64-bit directory is missing');
    const place = big(locator, 8, fail);
    if (place + 56 > end - 20) throw fail('its 64-bit directory lies outside');
    const record = viewOf(source.read(place, 56));
    if (record.getUint32(0, true) !== 0x06064b50) throw fail('its 64-bit directory is damaged');
    count = big(record, 32, fail);
    bytes = big(record, 40, fail);
    start = big(record, 48, fail);
    end = place;
  }
  if (count > MAX_ZIP_ENTRIES) throw fail(`it has ${count} entries, need at most ${MAX_ZIP_ENTRIES}`);
  if (bytes > MAX_DIRECTORY_BYTES) throw fail(`its directory has ${bytes} bytes, need at most ${MAX_DIRECTORY_BYTES}`);
  if (start + bytes > end) throw fail('its directory lies outside');
  return { count, start, bytes };
}

function big(view: DataView, offset: number, fail: Fail): number {
  const value = view.getBigUint64(offset, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw fail(`a length is ${value}`);
  return Number(value);
}

/** Replaces fields that hold 2³² − 1 by those of the 64-bit extra field, which holds only the replaced ones, in this order. */
function zip64(fields: readonly number[], extra: DataView, name: string, fail: Fail): [number, number, number] {
  const result = [...fields];
  const wanted = fields.flatMap((value, i) => (value === U32 ? [i] : []));
  if (wanted.length > 0) {
    let at = 0;
    let found = false;
    while (at + 4 <= extra.byteLength && !found) {
      const length = extra.getUint16(at + 2, true);
      if (extra.getUint16(at, true) === 1 && length >= wanted.length * 8 && at + 4 + length <= extra.byteLength) {
        for (const [n, i] of wanted.entries()) result[i] = big(extra, at + 4 + n * 8, fail);
        found = true;
      }
      at += 4 + length;
    }
    if (!found) throw fail(`${show(name)} has no 64-bit length`);
  }
  return result as [number, number, number];
}

function nameOf(bytes: Uint8Array, fail: Fail): string {
  let name: string;
  try {
    name = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw fail('an entry name is not text');
  }
  const parts = name.replace(/\/$/, '').split('/');
  const isOdd = /[\u0000-\u001f\\:]/.test(name) || name.length > 4096;
  if (isOdd || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw fail(`entry name ${show(name)} is not a plain relative path`);
  }
  return name;
}

/** Refuses entries that share bytes; returns where each entry's bytes must end. */
function checkSpans(
  spans: { begin: number; end: number; name: string }[],
  directory: number,
  fail: Fail,
): Map<string, number> {
  spans.sort((a, b) => a.begin - b.begin);
  const ends = new Map<string, number>();
  for (const [i, span] of spans.entries()) {
    const limit = spans[i + 1]?.begin ?? directory;
    if (span.end > limit) {
      throw fail(`${show(span.name)} overlaps ${spans[i + 1] ? show(spans[i + 1]!.name) : 'the directory'}`);
    }
    ends.set(span.name, limit);
  }
  return ends;
}
