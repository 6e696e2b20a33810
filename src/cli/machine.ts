// What `doctor` asks this machine: processor, memory, disk, devices, write permission. Measures nothing, changes nothing.
import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { arch, availableParallelism, cpus, freemem, homedir, platform, release, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export type DeviceReport = { readonly name: string; readonly isAvailable: boolean; readonly reason: string };

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
  const available = typeof process.availableMemory === 'function' ? process.availableMemory() : freemem();
  return {
    node: process.versions.node,
    system: `${platform()} ${release()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes,
    availableBytes: Math.min(available, memoryBytes),
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

/** Where compiled graphs are kept: `ORRERY_CACHE`, else `orrery` in the user's cache folder. */
export function cacheFolder(): string {
  const { ORRERY_CACHE, XDG_CACHE_HOME } = process.env;
  if (ORRERY_CACHE !== undefined && ORRERY_CACHE !== '') return ORRERY_CACHE;
  return join(
    XDG_CACHE_HOME !== undefined && XDG_CACHE_HOME !== '' ? XDG_CACHE_HOME : join(homedir(), '.cache'),
    'orrery',
  );
}

const PROBE = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? '../../dist/src/cli/probe-device.js' : './probe-device.js',
    import.meta.url,
  ),
);

/** The part of the engine's message that a person can use: without its source positions and our hint to come here. */
function shortReason(reason: string): string {
  const line = reason.split('\n')[0]!.replace(/\/\S*onnxruntime_src\S*.*? was false\. /, '');
  return line.replace(/; use --device cpu.*$/, '').slice(0, 200);
}

/** Tries a device in a child process, so that a driver that ends its process cannot end ours. */
export function probeDevice(name: string, signal: AbortSignal, timeoutMs = 30_000): Promise<DeviceReport> {
  return new Promise((done) => {
    const child = spawn(process.execPath, [PROBE, name], {
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: timeoutMs,
      signal,
    });
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      text += part;
    });
    child.on('error', (error) => done({ name, isAvailable: false, reason: error.message }));
    child.on('close', (code, killedBy) => {
      const line = text.trim().split('\n').at(-1) ?? '';
      try {
        const { isAvailable, reason } = JSON.parse(line) as DeviceReport;
        done({ name, isAvailable, reason: shortReason(reason) });
      } catch {
        const how = killedBy === null ? `exit code ${code}` : `signal ${killedBy}`;
        done({ name, isAvailable: false, reason: `the engine's process ended with ${how} while trying it` });
      }
    });
  });
}
