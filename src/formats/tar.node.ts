// Tar archives in the POSIX (ustar) form, as WebDataset shards are: written member by member, read as a stream of members.
import { closeSync, openSync, readSync } from 'node:fs';
import { OrreryError } from '../base/index.ts';
import { createPendingFile, diskError, writeFully } from './files.node.ts';

const BLOCK = 512;

/** A tar file being written; it appears under its name when finished. */
export type TarWriter = {
  /** Bytes so far. */
  readonly size: number;
  /** Adds a member. The name has at most 255 bytes, with a `/` at a fitting place when longer than 100. */
  add(name: string, content: Uint8Array): void;
  finish(): void;
  abort(): void;
};

/** Starts a tar file. The same members give the same bytes: time stamps and owners are zero. */
export function createTar(path: string): TarWriter {
  const file = createPendingFile(path);
  let size = 0;
  return {
    get size() {
      return size;
    },
    add(name, content) {
      const padded = new Uint8Array(Math.ceil(content.length / BLOCK) * BLOCK - content.length);
      try {
        for (const part of [headerOf(name, content.length), content, padded]) {
          writeFully(file.fd, part, size);
          size += part.length;
        }
      } catch (error) {
        throw diskError(error, 'write', path);
      }
    },
    finish() {
      writeFully(file.fd, new Uint8Array(2 * BLOCK), size);
      size += 2 * BLOCK;
      file.commit();
    },
    abort: () => file.abort(),
  };
}

function headerOf(name: string, length: number): Uint8Array {
  const header = new Uint8Array(BLOCK);
  const encoder = new TextEncoder();
  const put = (at: number, text: string): void => header.set(encoder.encode(text), at);
  let [prefix, base] = ['', name];
  if (encoder.encode(name).length > 100) {
    const cut = [...name.matchAll(/\//g)]
      .map((m) => m.index)
      .find((i) => encoder.encode(name.slice(i + 1)).length <= 100);
    if (cut === undefined || encoder.encode(name.slice(0, cut)).length > 155)
      throw new OrreryError(
        'input',
        `tar member name of ${name.length} characters: ${name.slice(0, 60)}…; need at most 100 bytes after the last fitting "/"`,
      );
    [prefix, base] = [name.slice(0, cut), name.slice(cut + 1)];
  }
  put(0, base);
  put(100, '0000644\0');
  put(108, '0000000\0');
  put(116, '0000000\0');
  put(124, `${length.toString(8).padStart(11, '0')}\0`);
  put(136, '00000000000\0');
  put(148, '        ');
  put(156, '0');
  put(257, 'ustar\x0000');
  put(345, prefix);
  let sum = 0;
  for (const byte of header) sum += byte;
  put(148, `${sum.toString(8).padStart(6, '0')}\0 `);
  return header;
}

/** A member of a tar file. */
export type TarMember = { readonly name: string; readonly content: Uint8Array };

/** Reads the regular files of a tar archive in order, one in memory at a time. */
export function* readTar(path: string): Generator<TarMember> {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    throw diskError(error, 'read', path);
  }
  const decoder = new TextDecoder();
  let position = 0;
  const read = (length: number): Uint8Array => {
    const bytes = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const got = readSync(fd, bytes, done, length - done, position + done);
      if (got === 0) throw new OrreryError('data', `${path}: the archive ends too early; write or fetch it again`);
      done += got;
    }
    position += length;
    return bytes;
  };
  const textOf = (bytes: Uint8Array): string => decoder.decode(bytes).replace(/\0.*$/s, '');
  let longName = '';
  try {
    for (;;) {
      const header = read(BLOCK);
      if (header.every((b) => b === 0)) return;
      const stated = Number.parseInt(textOf(header.subarray(148, 156)).trim(), 8);
      let sum = 0;
      header.forEach((b, i) => {
        sum += i >= 148 && i < 156 ? 32 : b;
      });
      if (sum !== stated)
        throw new OrreryError('data', `${path}: damaged header at byte ${position - BLOCK}; need a tar archive`);
      const length = Number.parseInt(textOf(header.subarray(124, 136)).trim() || '0', 8);
      if (!Number.isSafeInteger(length) || length < 0 || length > 2 ** 33)
        throw new OrreryError('data', `${path}: a member of ${length} bytes; need at most 8 GiB`);
      const type = String.fromCharCode(header[156]!);
      const prefix = textOf(header.subarray(345, 500));
      const short = textOf(header.subarray(0, 100));
      const content = read(length);
      position += Math.ceil(length / BLOCK) * BLOCK - length;
      if (type === 'L') longName = textOf(content);
      else if (type === 'x') longName = /(?:^|\n)\d+ path=([^\n]+)\n/.exec(decoder.decode(content))?.[1] ?? longName;
      else {
        const name = longName || (prefix === '' ? short : `${prefix}/${short}`);
        longName = '';
        if (type === '0' || type === '\0') yield { name, content };
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** Groups members into WebDataset samples: neighbours with the same name up to the first dot. */
export function* readWebDataset(
  path: string,
): Generator<{ readonly key: string; readonly parts: ReadonlyMap<string, Uint8Array> }> {
  let key: string | undefined;
  let parts = new Map<string, Uint8Array>();
  for (const { name, content } of readTar(path)) {
    const slash = name.lastIndexOf('/') + 1;
    const dot = name.indexOf('.', slash);
    const own = dot < 0 ? name : name.slice(0, dot);
    if (key !== undefined && own !== key) {
      yield { key, parts };
      parts = new Map();
    }
    key = own;
    parts.set(dot < 0 ? '' : name.slice(dot + 1), content);
  }
  if (key !== undefined) yield { key, parts };
}
