// Processes that share a run folder: a round is a folder with weights, work is claimed by making a file, and a claim that shows no sign of
// life is given to someone else. No server.
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { f32, throwIfAborted } from '../base/index.ts';
import { diskError, makeFolder, openSafetensors, writeSafetensors } from '../formats/index.ts';
import type { Exchange, RoundRecord, Vectors, Work } from './exchange.ts';

/** Seconds without a sign of life after which work is given to someone else. */
const LEASE_SECONDS = 20;

/** @param dir folder of the rounds */
export function folderExchange(dir: string, slots: number, leaseSeconds = LEASE_SECONDS): Exchange {
  makeFolder(dir);
  const here = (round: number): string => join(dir, nameOf(round));
  const slotFile = (round: number, slot: number): string => join(here(round), `slot-${slot}.safetensors`);
  const numbers = Array.from({ length: slots }, (_, i) => i);
  const workOf = (round: number, slot: Work['slot'], path: string): Work => {
    const lease = keepAlive(path, leaseSeconds);
    return { round, slot, release: async () => lease.release() };
  };
  const publish = async (round: number, vectors: Vectors, record: RoundRecord): Promise<void> => {
    // Another name first: a round is there when all of it is. Loses quietly to a process that was first.
    const temporary = join(dir, `.${randomUUID()}`);
    mkdirSync(temporary);
    write(join(temporary, 'weights.safetensors'), vectors);
    writeFileSync(join(temporary, 'record.json'), JSON.stringify(record));
    try {
      renameSync(temporary, here(round));
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      if (!existsSync(here(round))) throw error;
    }
  };
  return {
    async begin(start) {
      if (newestOf(dir) >= 0) return;
      const { vectors, record } = await start();
      await publish(0, vectors, record);
    },
    newest: async () => newestOf(dir),
    record: async (round) => JSON.parse(readFileSync(join(here(round), 'record.json'), 'utf8')) as RoundRecord,
    readRound: async (round) => read(join(here(round), 'weights.safetensors')),
    readSlot: async (round, slot) => read(slotFile(round, slot)),
    writeSlot: async (round, slot, vectors) => write(slotFile(round, slot), vectors),
    publish,
    forget: async (round) => rmSync(here(round), { recursive: true, force: true }),
    async take(signal) {
      const round = newestOf(dir);
      const open = numbers.filter((i) => !existsSync(slotFile(round, i)));
      for (const slot of open) {
        const path = join(here(round), `slot-${slot}.claim`);
        if (claim(path, leaseSeconds)) return workOf(round, slot, path);
      }
      const outer = join(here(round), 'outer.claim');
      if (open.length === 0 && claim(outer, leaseSeconds)) return workOf(round, 'outer', outer);
      await sleep(Math.min(200, leaseSeconds * 100), undefined, signal === undefined ? {} : { signal }).catch(() =>
        throwIfAborted(signal),
      );
      return undefined;
    },
    // Checkpoints are shared as the folder is.
    writeBest: async () => {},
    readBest: async () => undefined,
    close: async () => {},
  };
}

const nameOf = (round: number): string => `round-${String(round).padStart(6, '0')}`;

/** Number of the newest round that has begun; −1 before the first. */
function newestOf(dir: string): number {
  const names = readdirSync(dir).filter((n) => /^round-\d{6}$/.test(n));
  return names.length === 0 ? -1 : Math.max(...names.map((n) => Number(n.slice(6))));
}

function write(path: string, vectors: Vectors): void {
  writeSafetensors(
    path,
    Object.entries(vectors).map(([name, data]) => [name, f32([data.length], data)] as const),
  );
}

function read(path: string): Record<string, Float32Array> {
  using file = openSafetensors(path);
  return Object.fromEntries([...file.tensors.keys()].map((name) => [name, file.read(name).data as Float32Array]));
}

/** Whether this process may do a piece of work: nobody has it, or the one who had it has not been heard of for long. */
function claim(path: string, leaseSeconds: number): boolean {
  try {
    writeFileSync(path, '', { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw diskError(error, 'write', path);
    const age = (Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())) / 1000;
    if (age < leaseSeconds) return false;
    // Two that find the same stale claim: both may work, and the same numbers are written twice.
    rmSync(path, { force: true });
    return false;
  }
}

/** Waits until no other process has the turn that `path` stands for, and takes it. */
export async function takeTurn(path: string, signal?: AbortSignal): Promise<{ release(): void }> {
  while (!claim(path, LEASE_SECONDS)) {
    throwIfAborted(signal);
    await sleep(200);
  }
  return keepAlive(path, LEASE_SECONDS);
}

/** Signs of life while a claim is held. */
function keepAlive(path: string, leaseSeconds: number): { release(): void } {
  const touch = (): void => {
    const now = new Date();
    if (existsSync(path)) utimesSync(path, now, now);
  };
  const timer = setInterval(touch, (leaseSeconds * 1000) / 4);
  timer.unref();
  return {
    release() {
      clearInterval(timer);
      rmSync(path, { force: true });
    },
  };
}
