// Checkpoints: a folder with the flat state vectors and a JSON record, written beside the old one and renamed.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { f32, OrreryError } from '../base/index.ts';
import { makeFolder, openSafetensors, writeSafetensors } from '../formats/index.ts';
import { STATE_NAMES } from './optimizer.ts';

/** A start model by name and the checksum of its weights. */
export type StartModel = { readonly name: string; readonly sha256: string };

export type CheckpointRecord = {
  readonly step: number;
  /** Seconds spent on training steps so far, over all runs. */
  readonly seconds: number;
  /** Optimizer updates since the start; differs from `step` only when steps are skipped. */
  readonly updates: number;
  /** Best validation score so far and its step. */
  readonly best: { readonly score: number; readonly step: number } | undefined;
  /** Validations since the best one. */
  readonly stale?: number;
  /** The model that training started from; its frozen weights belong to the state. */
  readonly from?: StartModel;
  readonly recipe: unknown;
  /** Training clips of the data set. */
  readonly clips?: number;
};

export type TrainingState = Readonly<Record<(typeof STATE_NAMES)[number], Float32Array>>;

const nameOf = (step: number): string => `step-${String(step).padStart(8, '0')}`;

/** Writes checkpoint `step` under `dir` and points `latest` at it; keeps the last `keep`. */
export async function saveCheckpoint(
  dir: string,
  record: CheckpointRecord,
  state: TrainingState,
  keep = 2,
): Promise<string> {
  makeFolder(dir);
  const final = join(dir, nameOf(record.step));
  const temporary = `${final}.tmp`;
  rmSync(temporary, { recursive: true, force: true });
  mkdirSync(temporary);
  await writeSafetensors(
    join(temporary, 'state.safetensors'),
    STATE_NAMES.map((n) => [n, f32([state[n].length], state[n])] as const),
  );
  writeFileSync(join(temporary, 'record.json'), `${JSON.stringify(record, null, 1)}\n`);
  rmSync(final, { recursive: true, force: true });
  renameSync(temporary, final);
  writeFileSync(join(dir, 'latest.tmp'), nameOf(record.step));
  renameSync(join(dir, 'latest.tmp'), join(dir, 'latest'));
  const old = readdirSync(dir)
    .filter((n) => /^step-\d+$/.test(n))
    .sort()
    .slice(0, -keep);
  for (const n of old) rmSync(join(dir, n), { recursive: true, force: true });
  return final;
}

/** Folder and record of the newest checkpoint of `dir`, or undefined when there is none. */
export function newestRecord(dir: string): { folder: string; record: CheckpointRecord } | undefined {
  const pointer = join(dir, 'latest');
  if (!existsSync(pointer)) return undefined;
  const folder = join(dir, readFileSync(pointer, 'utf8').trim());
  return { folder, record: JSON.parse(readFileSync(join(folder, 'record.json'), 'utf8')) as CheckpointRecord };
}

/** The newest checkpoint of `dir`, or undefined when there is none. */
export async function loadCheckpoint(
  dir: string,
): Promise<{ record: CheckpointRecord; state: TrainingState } | undefined> {
  const newest = newestRecord(dir);
  if (newest === undefined) return undefined;
  const { folder, record } = newest;
  const file = openSafetensors(join(folder, 'state.safetensors'));
  const state: Record<string, Float32Array> = {};
  for (const n of STATE_NAMES) {
    const tensor = file.read(n);
    if (!(tensor.data instanceof Float32Array))
      throw new OrreryError('data', `${folder}: ${n} is ${tensor.dtype}, need f32`);
    state[n] = tensor.data;
  }
  return { record, state: state as TrainingState };
}
