// The self-test: recomputes parity cases with the networks and samplers of this package and compares every stored output.
import { OrreryError } from '../../base/index.ts';
import { openRuntime, type Runtime } from '../../runtime/index.ts';
import { type ParityCase, readCase } from './case.ts';
import { type Computed, relativeL2, toleranceOf } from './compare.ts';
import { KINDS } from './kinds/index.ts';

/** The verdict on one output of one case. */
export type SelftestResult = {
  /** File name without ending. */
  readonly case: string;
  /** Output name without prefix; '*' when the case as a whole could not be run. */
  readonly output: string;
  /** Relative L2 error; NaN when it could not be computed. */
  readonly relL2: number;
  readonly tolerance: number;
  readonly status: 'pass' | 'fail' | 'unsupported';
  readonly reason?: string;
};

/** Options of `selftest`. */
export type SelftestOptions = {
  /** Where networks run. Default: a CPU runtime of its own. */
  readonly runtime?: Runtime;
  readonly signal?: AbortSignal;
};

/**
 * Checks parity cases, one result per stored output. Never passes what it did not compute.
 * @param files paths of `.safetensors` cases
 */
export async function* selftest(
  files: Iterable<string>,
  options: SelftestOptions = {},
): AsyncGenerator<SelftestResult, void, void> {
  // Started by the first case that needs one: metrics run without it.
  let own: Runtime | undefined;
  const runtime = (): Runtime => {
    if (options.runtime !== undefined) return options.runtime;
    own ??= openRuntime();
    return own;
  };
  try {
    for (const path of files) {
      if (options.signal?.aborted) throw new OrreryError('canceled', 'canceled', { cause: options.signal.reason });
      yield* checkCase(readCase(path), runtime);
    }
  } finally {
    await own?.dispose();
  }
}

async function* checkCase(c: ParityCase, runtime: () => Runtime): AsyncGenerator<SelftestResult, void, void> {
  const whole = { case: c.name, output: '*', relL2: Number.NaN, tolerance: 0 };
  const kind = KINDS.find((k) => k.matches(c));
  if (kind === undefined) {
    yield { ...whole, status: 'unsupported', reason: 'no network of this kind in this version' };
    return;
  }
  let computed: Readonly<Record<string, Computed>>;
  try {
    computed = await ('compute' in kind ? kind.compute(c) : kind.run(c, runtime()));
  } catch (error) {
    if (error instanceof OrreryError && error.code === 'canceled') throw error;
    const isUnsupported = error instanceof OrreryError && error.code === 'unsupported';
    const reason = error instanceof Error ? error.message : String(error);
    yield { ...whole, status: isUnsupported ? 'unsupported' : 'fail', reason: `${kind.name}: ${reason}` };
    return;
  }
  for (const [output, want] of c.outputs) {
    const got = computed[output];
    const double = c.doubles.get(`output.${output}`);
    const exact = double === undefined ? want : ({ dtype: 'f64', shape: want.shape, data: double } as const);
    const own = got === undefined ? undefined : kind.judge?.(c, output, got, exact);
    const tolerance = own?.tolerance ?? toleranceOf(c, output, want);
    const row = { case: c.name, output, tolerance };
    if (got === undefined) {
      // Inner values are a help for finding differences; a result proper must be there.
      const status = output.startsWith('debug.') ? 'unsupported' : 'fail';
      yield { ...row, relL2: Number.NaN, status, reason: `${kind.name}: this output is not computed` };
      continue;
    }
    const relL2 = own?.error ?? relativeL2(got, exact);
    const isSame = got.shape.join() === want.shape.join();
    if (relL2 <= tolerance) yield { ...row, relL2, status: 'pass' };
    else {
      const reason = isSame
        ? `${own?.measure ?? 'relative L2 error'} ${relL2.toExponential(2)}`
        : `shape [${got.shape}], need [${want.shape}]`;
      yield { ...row, relL2, status: 'fail', reason };
    }
  }
}
