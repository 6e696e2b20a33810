// What a stage is and what it may ask of the engine. Types only, plus the few rules about failures that all runners share.
import { OrreryError } from '../../base/index.ts';

/** One piece of work. The id is deterministic: the same input and options give the same id, on every machine. */
export type Unit<T = unknown> = {
  readonly id: string;
  /** Plain JSON, at most about 64 KB: media travel as file names, never as bytes. */
  readonly value: T;
};

/** What a worker may tell the engine while it works on a batch. */
export type StageIo<Out = unknown> = {
  /** Hands a result to the next stage; waits while that stage is full. The same id twice is passed on once. */
  emit(unit: Unit<Out>, parentId: string): Promise<void>;
  /** Marks one unit of the batch as failed; the others go on. */
  fail(id: string, error: unknown): void;
  /** A sign of life of long work: keeps the unit reserved for this worker. */
  alive(): void;
  readonly signal: AbortSignal;
};

/** One worker of a stage: opened once, used for many batches, disposed at the end. */
export type StageWorker<In = unknown, Out = unknown> = {
  /** Works on a batch. Units neither failed nor thrown at are done when it returns. */
  process(units: readonly Unit<In>[], io: StageIo<Out>): Promise<void>;
  dispose(): Promise<void> | void;
};

/** A stage of a pipeline. */
export type Stage<In = unknown, Out = unknown> = {
  readonly name: string;
  /** Units handed to a worker at once. Default 1. */
  readonly batch?: number;
  /** Cores that one worker keeps busy; a fraction for work that mostly waits. Default 1. */
  readonly cores?: number;
  /** Exactly this many workers, whatever the speeds. */
  readonly workers?: number;
  /** At most this many workers. */
  readonly maxWorkers?: number;
  /** Attempts per unit before it becomes a dead letter. Default 4: the first and three more. */
  readonly attempts?: number;
  /** Opens a worker: loads models, starts a process. */
  open(): Promise<StageWorker<In, Out>>;
};

/** Attempts per unit when the stage names none. */
export const DEFAULT_ATTEMPTS = 4;

/** A failure as it is stored: stable code, one line of text. */
export type StoredError = { readonly code: string; readonly message: string };

/** Any thrown value as a stored failure. */
export function storedError(error: unknown): StoredError {
  if (error instanceof OrreryError) return { code: error.code, message: error.message };
  if (typeof error === 'object' && error !== null && 'message' in error) {
    const { code, message } = error as { code?: unknown; message: unknown };
    return { code: typeof code === 'string' ? code : 'internal', message: String(message).split('\n')[0]! };
  }
  return { code: 'internal', message: String(error) };
}

/** Whether another attempt may help. A damaged file stays damaged; a crash, a full disk or a lost machine may pass. */
export function isRetryable(error: unknown): boolean {
  const { code } = storedError(error);
  if (error instanceof OrreryError && typeof error.details['retryable'] === 'boolean')
    return error.details['retryable'];
  return !['data', 'input', 'unsupported', 'blocked', 'model'].includes(code);
}
