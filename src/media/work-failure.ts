// The error that travels from a media process to its parent. The parent turns it into an `OrreryError` that names the file.
import type { Failure } from './jobs.ts';

/** A failed job, with a phrase for the message. */
export class WorkFailure extends Error {
  readonly failure: Failure;

  constructor(kind: Failure['kind'], found: string, next?: string) {
    super(found);
    this.name = 'WorkFailure';
    this.failure = next === undefined ? { kind, found } : { kind, found, next };
  }
}
