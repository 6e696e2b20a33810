// What the data-set writer and its workers exchange.
import { hash32 } from '../../base/index.ts';
import type { ScenarioName } from '../scenarios/index.ts';
import type { RobotTrack, Scene } from '../scene.ts';

export type ClipJob = {
  readonly split: 'train' | 'heldout';
  readonly index: number;
  readonly scenario: ScenarioName;
  readonly seed: number;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
};

/** One line of a shard's `.jsonl`. */
export type ClipRecord = {
  readonly index: number;
  readonly id: string;
  readonly seed: number;
  readonly scenario: string;
  readonly caption: string;
  /** Short, medium and long; none tells the outcome, which a model must predict. */
  readonly captions: readonly string[];
  readonly fps: number;
  readonly frames: number;
  readonly objects: readonly {
    readonly id: number;
    readonly name: string;
    readonly class: string;
    readonly color: readonly number[];
    readonly dynamic: boolean;
  }[];
  readonly camera: Scene['cameras'][number];
  readonly trajectory: string;
  /** Actions and measurements of the robot, per frame, where there is one. */
  readonly robot?: RobotTrack;
};

export type ClipResult = { readonly rgb: Uint8Array; readonly instance: Uint8Array; readonly record: ClipRecord };

/**
 * The seed of a clip: even for training, odd for held-out clips, so the two never share one.
 * @param seed the data set's seed
 */
export function clipSeed(seed: number, split: 'train' | 'heldout', index: number): number {
  const mixed = hash32(`${seed} ${split} ${index}`);
  return ((mixed & 0xfffffffe) | (split === 'heldout' ? 1 : 0)) >>> 0;
}

/** Micrometres and microradians are enough, and half as long to read. */
function rounded(track: RobotTrack): RobotTrack {
  const round = (rows: readonly (readonly number[])[]): number[][] =>
    rows.map((row) => row.map((v) => Math.round(v * 1e6) / 1e6));
  return { actions: round(track.actions), joints: round(track.joints), tip: round(track.tip) };
}

export function clipRecord(
  job: ClipJob,
  scene: Scene,
  caption: string,
  captions: readonly string[],
  trajectory: string,
): ClipRecord {
  return {
    index: job.index,
    id: `${job.split}-${String(job.index).padStart(6, '0')}`,
    seed: job.seed,
    scenario: scene.scenario,
    caption,
    captions,
    fps: job.fps,
    frames: job.frames,
    objects: scene.bodies.map((b) => ({
      id: b.id,
      name: b.name,
      class: b.class,
      color: scene.materials[b.parts[0]?.material ?? '']?.color ?? [0, 0, 0],
      dynamic: b.kind === 'dynamic',
    })),
    camera: scene.cameras[0]!,
    trajectory,
    ...(scene.robot === undefined ? {} : { robot: rounded(scene.robot) }),
  };
}
