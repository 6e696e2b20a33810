// What `doctor` asks this machine: processor, memory, disk, write permission. Measures nothing, changes nothing.
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, cpus, platform, release, totalmem } from 'node:os';
import { dirname, resolve } from 'node:path';
import { availableMemory } from '../runtime/index.ts';

export type FolderReport = {
  readonly path: string;
  readonly exists: boolean;
  readonly isWritable: boolean;
  /** Free bytes of its disk for us. */
  readonly freeBytes: number;
};

export type MachineReport = {
  readonly node: string;
  readonly system: string;
  readonly cpu: string;
  readonly cores: number;
  /** Bytes that this process may use at most: the machine's memory or the limit of its container. */
  readonly memoryBytes: number;
  readonly availableBytes: number;
};

export function machineReport(): MachineReport {
  const limit = process.constrainedMemory();
  const memoryBytes = limit > 0 && limit < totalmem() ? limit : totalmem();
  return {
    node: process.versions.node,
    system: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes,
    availableBytes: Math.min(availableMemory(), memoryBytes),
  };
}

/** Looks at a folder, or at the nearest one above it that exists. */
export function folderReport(path: string): FolderReport {
  const full = resolve(path);
  let near = full;
  while (!existsSync(near) && dirname(near) !== near) near = dirname(near);
  let isWritable = true;
  try {
    accessSync(near, constants.W_OK);
  } catch {
    isWritable = false;
  }
  let freeBytes = 0;
  try {
    const { bavail, bsize } = statfsSync(near);
    freeBytes = bavail * bsize;
  } catch {
    // A file system that does not tell counts as full: the report shows 0.
  }
  return { path: full, exists: near === full, isWritable, freeBytes };
}
