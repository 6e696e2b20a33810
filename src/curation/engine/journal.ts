// The append-only journal of a job: one JSON line per fact. Read back after a stop of any kind, it tells exactly what is
// finished, what is waiting and what is given up. A torn last line (kill -9 while writing) is cut off on opening.
import { closeSync, existsSync, fdatasyncSync, ftruncateSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { diskError } from '../../formats/index.ts';
import type { StoredError } from './stage.ts';

/** One line. `s` stage, `id` unit, `p` parent. */
export type JournalEntry =
  | { readonly e: 'job'; readonly v: unknown }
  /** A unit waits before stage `s`. */
  | { readonly e: 'unit'; readonly s: string; readonly id: string; readonly p?: string; readonly v: unknown }
  | { readonly e: 'done'; readonly s: string; readonly id: string }
  | {
      readonly e: 'retry' | 'dead';
      readonly s: string;
      readonly id: string;
      readonly attempt: number;
      readonly error: StoredError;
    }
  /** A finished result of the last stage. */
  | { readonly e: 'result'; readonly id: string; readonly p?: string; readonly v: unknown };

/** An open journal. */
export type Journal = {
  append(entry: JournalEntry): void;
  /** Writes what is held back; with `isSafe` also past the disk's cache. */
  flush(isSafe?: boolean): void;
  close(): void;
};

const FLUSH_MS = 20;
const SYNC_MS = 500;
const MAX_HELD = 1 << 16;

/** Opens a journal for appending; a torn last line is removed. Lines reach the system within 20 ms, the disk within 0.5 s. */
export function openJournal(path: string): Journal {
  let fd: number;
  try {
    if (existsSync(path)) repair(path);
    fd = openSync(path, 'a');
  } catch (error) {
    throw diskError(error, 'write', path);
  }
  let held: string[] = [];
  let heldLength = 0;
  let isDirty = false;
  let lastSync = Date.now();
  let timer: NodeJS.Timeout | undefined;
  let isOpen = true;
  const flush = (isSafe = false): void => {
    clearTimeout(timer);
    timer = undefined;
    if (!isOpen) return;
    try {
      if (held.length > 0) {
        writeSync(fd, held.join(''));
        held = [];
        heldLength = 0;
        isDirty = true;
      }
      if (isDirty && (isSafe || Date.now() - lastSync >= SYNC_MS)) {
        fdatasyncSync(fd);
        isDirty = false;
        lastSync = Date.now();
      }
    } catch (error) {
      throw diskError(error, 'write', path);
    }
  };
  return {
    append: (entry) => {
      const line = `${JSON.stringify(entry)}\n`;
      held.push(line);
      heldLength += line.length;
      if (heldLength >= MAX_HELD) flush();
      else timer ??= setTimeout(flush, FLUSH_MS);
    },
    flush,
    close: () => {
      if (!isOpen) return;
      flush(true);
      isOpen = false;
      closeSync(fd);
    },
  };
}

function repair(path: string): void {
  const size = statSync(path).size;
  const fd = openSync(path, 'r+');
  try {
    const block = Buffer.alloc(1 << 16);
    for (let end = size; end > 0; ) {
      const from = Math.max(0, end - block.length);
      const read = readSync(fd, block, 0, end - from, from);
      const newline = block.subarray(0, read).lastIndexOf(10);
      if (newline >= 0) {
        if (from + newline + 1 < size) ftruncateSync(fd, from + newline + 1);
        return;
      }
      end = from;
    }
    ftruncateSync(fd, 0);
  } finally {
    closeSync(fd);
  }
}

/** Reads a journal line by line, never as a whole. Lines that are no JSON are skipped and counted by `onBad`. */
export function* readJournal(path: string, onBad?: (line: string) => void): Generator<JournalEntry> {
  if (!existsSync(path)) return;
  const fd = openSync(path, 'r');
  const decoder = new TextDecoder();
  const block = Buffer.alloc(1 << 18);
  let rest = '';
  try {
    for (;;) {
      const count = readSync(fd, block, 0, block.length, null);
      rest += decoder.decode(block.subarray(0, count), { stream: count > 0 });
      const lines = rest.split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        if (line === '') continue;
        let entry: JournalEntry | undefined;
        try {
          entry = JSON.parse(line) as JournalEntry;
        } catch {
          onBad?.(line);
        }
        if (entry !== undefined) yield entry;
      }
      if (count === 0) return;
    }
  } finally {
    closeSync(fd);
  }
}
