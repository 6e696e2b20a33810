// What processes that train together need of each other: rounds of weights, pieces of work that one of them takes, results of slots. Two
// ways: a shared folder (`exchange-folder.ts`) and a NATS server (`exchange-nats.ts`).
import type { CheckpointRecord } from './checkpoint.ts';

export type Vectors = Readonly<Record<string, Float32Array>>;

/** What goes along with the weights of a round. */
export type RoundRecord = Pick<CheckpointRecord, 'seconds' | 'best' | 'stale'>;

/** A slot's local steps, or the outer step of a round whose slots are done. */
export type Work = {
  readonly round: number;
  readonly slot: number | 'outer';
  /** @param isDone false: someone else shall do it */
  release(isDone: boolean): Promise<void>;
};

export type Exchange = {
  /** Begins round 0 when nobody has. */
  begin(start: () => Promise<{ vectors: Vectors; record: RoundRecord }>): Promise<void>;
  /** Number of the newest round that has begun. */
  newest(): Promise<number>;
  record(round: number): Promise<RoundRecord>;
  /** Weights p, their average ema, outer momentum u. */
  readRound(round: number): Promise<Record<string, Float32Array>>;
  readSlot(round: number, slot: number): Promise<Record<string, Float32Array>>;
  writeSlot(round: number, slot: number, vectors: Vectors): Promise<void>;
  /** Makes a round known, with its work; a second call with the same number changes nothing. */
  publish(round: number, vectors: Vectors, record: RoundRecord): Promise<void>;
  /** Forgets the results of a round that nobody needs any more. */
  forget(round: number): Promise<void>;
  /** Something to do, of the newest round; undefined after a while without. */
  take(signal?: AbortSignal): Promise<Work | undefined>;
  /** The averaged weights with the best score so far. */
  writeBest(vectors: Vectors, record: CheckpointRecord): Promise<void>;
  readBest(): Promise<{ vectors: Record<string, Float32Array>; record: CheckpointRecord } | undefined>;
  close(): Promise<void>;
};
