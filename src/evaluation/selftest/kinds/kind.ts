// What a kind of case is: a test on the contents of a file and the computation of its outputs.
import type { Runtime } from '../../../runtime/index.ts';
import type { ParityCase } from '../case.ts';
import type { Computed } from '../compare.ts';

/** How one output is measured where relative L2 is the wrong measure. */
export type Judgement = {
  /** Error in the measure of the kind; passes when it is ≤ tolerance, never when NaN. */
  readonly error: number;
  readonly tolerance: number;
  /** What the error is, such as `max abs`; default `relative L2 error`. */
  readonly measure?: string;
};

/** One kind of parity case whose outputs come from a network. */
export type CaseKind = Recognised & {
  /** Computes outputs by name, without the prefix `output.`. Throws an `unsupported` error for options that do not exist here. */
  run(c: ParityCase, runtime: Runtime): Promise<Readonly<Record<string, Computed>>>;
};

/** One kind that is computed without a network. */
export type PlainKind = Recognised & {
  compute(c: ParityCase): Promise<Readonly<Record<string, Computed>>>;
};

type Recognised = {
  readonly name: string;
  /** Looks at contents, never at the file's name. */
  matches(c: ParityCase): boolean;
  /** The kind's own measure of an output; absent or undefined: relative L2 with the standard tolerance. */
  judge?(c: ParityCase, output: string, got: Computed, want: Computed): Judgement | undefined;
};
