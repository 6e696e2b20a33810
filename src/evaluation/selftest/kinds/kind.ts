// What a kind of case is: a test on the contents of a file and the computation of its outputs.
import type { NdArray } from '../../../base/index.ts';
import type { Runtime } from '../../../runtime/index.ts';
import type { ParityCase } from '../case.ts';

/** One kind of parity case. */
export type CaseKind = {
  readonly name: string;
  /** Looks at contents, never at the file's name. */
  matches(c: ParityCase): boolean;
  /** Computes outputs by name, without the prefix `output.`. Throws an `unsupported` error for options that do not exist here. */
  run(c: ParityCase, runtime: Runtime): Promise<Readonly<Record<string, NdArray>>>;
};
