// The seam between the engine and what carries the work: memory and a journal file (embedded), or NATS JetStream. No code.
import type { StoredError, Unit } from './stage.ts';

/** A unit in the hands of a worker. It ends with exactly one of `done`, `retry` and `dead`. */
export type Delivery = {
  readonly unit: Unit;
  /** 1 for the first try. */
  readonly attempt: number;
  /** Keeps the unit reserved for this worker. */
  working(): void;
  done(): Promise<void>;
  /** Gives the unit back for another try after `delayMs`. */
  retry(error: StoredError, delayMs: number): Promise<void>;
  /** Gives up on the unit: a dead letter with its reason. */
  dead(error: StoredError): Promise<void>;
};

/** Counts of one stage. */
export type StageCounts = {
  readonly waiting: number;
  readonly running: number;
  readonly done: number;
  readonly dead: number;
  readonly retried: number;
};

/** A result of the last stage. */
export type Result = { readonly id: string; readonly parent: string | undefined; readonly value: unknown };

/** A dead letter. */
export type DeadLetter = {
  readonly stage: string;
  readonly id: string;
  readonly attempts: number;
  readonly error: StoredError;
};

/** Carries units between stages. The test suite runs the same conformance tests over every implementation. */
export type Backend = {
  readonly name: string;
  /** Puts a unit before a stage; waits while the stage is full; a known id is ignored. */
  put(stage: string, unit: Unit, parent: string | undefined, signal: AbortSignal): Promise<void>;
  /** Records a result of the last stage; a known id is ignored. */
  result(unit: Unit, parent: string | undefined): Promise<void>;
  /** Up to `max` units, at least one unless aborted or closed (then none). */
  take(stage: string, max: number, signal: AbortSignal): Promise<readonly Delivery[]>;
  /** Sets how many units may wait before a stage. */
  setLimit(stage: string, limit: number): void;
  counts(stage: string): StageCounts;
  /** Says that the source has no more units. */
  endSource(): void;
  /** Resolves when the source has ended and every unit is done or dead. */
  settled(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
};
