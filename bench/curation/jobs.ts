// Helpers of the curation bench: timed jobs, memory of a process tree, plain ffmpeg as the yardstick, short test videos.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { curate } from '../../src/curation/index.ts';

/** Folder of sample media; parts without it are left out and say so. */
export const MEDIA = resolve(process.env['ORRERY_MEDIA_SAMPLES'] ?? '../shared/media');

/** Whether a program can be started. */
export const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined;

/** Decode, split and transcode alone: what plain ffmpeg is compared with. */
export const BARE = {
  split: 'fixed',
  clipSeconds: 5,
  minSeconds: 1,
  motion: 'off',
  embed: 'off',
  caption: 'off',
  quality: 'score',
  metas: false,
} as const;

/** A finished job. */
export type Timed = {
  readonly seconds: number;
  readonly clips: number;
  /** Largest memory of all processes, MB. */
  readonly peakMb: number;
  /** [clips finished, memory of all processes in MB], four times a second. */
  readonly memory: readonly (readonly [number, number])[];
};

/** Runs a job to its end. */
export async function timed(input: string, out: string, options: Parameters<typeof curate>[2]): Promise<Timed> {
  let seconds = 0;
  let clips = 0;
  let soFar = 0;
  const memory: [number, number][] = [];
  const watch = setInterval(() => memory.push([soFar, treeMb(process.pid)]), 250);
  try {
    for await (const event of curate(input, out, options)) {
      if (event.type === 'progress') soFar = event.clips;
      if (event.type === 'done') {
        seconds = event.seconds;
        clips = event.summary.clips + event.summary.filtered;
      }
    }
  } finally {
    clearInterval(watch);
  }
  // Processor time of children counts once they have ended.
  for (let i = 0; i < 50 && childrenOf(process.pid).length > 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 100));
  return { seconds, clips, memory, peakMb: Math.max(0, ...memory.map(([, mb]) => mb)) };
}

/** Keeps this process and its future children on one core while `run` runs, where the system can. */
export async function onOneCore<T>(run: () => Promise<T>): Promise<T> {
  const pin = (cores: string): void => void spawnSync('taskset', ['-apc', cores, `${process.pid}`]);
  pin('0');
  try {
    return await run();
  } finally {
    pin(`0-${cpus().length - 1}`);
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    return [];
  }
}

/** Processor seconds of this process and of its ended children; 0 where the system does not tell. */
export function cpuSeconds(): number {
  try {
    const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]!.split(' ');
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
  } catch {
    return 0;
  }
}

/** Resident memory of a process and its children, MB; 0 where the system does not tell. */
export function treeMb(pid: number): number {
  try {
    const own = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) / 256;
    return own + childrenOf(pid).reduce((sum, child) => sum + treeMb(child), 0);
  } catch {
    return 0;
  }
}

/** ffmpeg without output; throws with its last words. */
export function ffmpeg(...args: readonly string[]): void {
  const { status, stderr } = spawnSync('ffmpeg', ['-v', 'error', '-nostdin', '-y', ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`ffmpeg ${args.join(' ')}: ${stderr.trim().split('\n').at(-1)}`);
}

/** Plain ffmpeg: one process per video, one input per span with the seek before it, the same encoder settings. Seconds. */
export async function plain(files: readonly string[], out: string, parallel: number): Promise<number> {
  mkdirSync(out, { recursive: true });
  const queue = [...files];
  const from = performance.now();
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const probed = spawnSync('ffprobe', ['-v', 'error', '-show_entries', 'format=duration', '-of', 'csv=p=0', file], {
        encoding: 'utf8',
      });
      const spans = Math.max(1, Math.ceil((Number(probed.stdout) - 1) / 5));
      const inputs: string[] = [];
      const outputs: string[] = [];
      for (let i = 0; i < spans; i++) {
        inputs.push('-threads', '1', '-ss', `${i * 5}`, '-t', '5', '-i', file);
        outputs.push('-map', `${i}:v:0`, '-c:v', 'libx264', '-preset', 'veryfast', '-crf', '20', '-threads', '1');
        outputs.push('-x264-params', 'keyint=48', '-pix_fmt', 'yuv420p', '-movflags', '+faststart');
        outputs.push(join(out, `${file.split('/').at(-1)}-${i}.mp4`));
      }
      const args = ['-v', 'error', '-nostdin', '-y', '-filter_threads', '1', ...inputs, ...outputs];
      await new Promise((done) => spawn('ffmpeg', args, { stdio: 'ignore' }).on('close', done));
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return (performance.now() - from) / 1000;
}
