// The one error family of Orrery. Each error names what failed, the value got, what is allowed and the next step.

/** Stable machine-readable error codes. The CLI maps them to exit codes (see `exitCodeOf`). */
export type ErrorCode =
  | 'input' // a value from the user is wrong
  | 'usage' // a command line or config is wrong
  | 'blocked' // a guardrail refused
  | 'model' // a model file is missing or damaged
  | 'data' // a data file is missing or damaged
  | 'unsupported' // understood, but this version cannot do it
  | 'memory' // not enough memory
  | 'device' // the device is not there
  | 'disk' // cannot write, or disk full
  | 'canceled' // stopped by the user
  | 'internal'; // a bug of ours

/** Base class of every error that Orrery throws on purpose. */
export class OrreryError extends Error {
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: Record<string, unknown> } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OrreryError';
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** What an `InputError` says about one rejected value. */
export type InputProblem = {
  /** The value got. */
  readonly got: unknown;
  /** What is allowed, in words. */
  readonly need: string;
  /** Why, or what to do next. */
  readonly why?: string;
};

/** A value from the user is wrong: `frames: got 120, need 1 + 8k, e.g. 113 or 121 (the tokenizer compresses time by 8)`. */
export class InputError extends OrreryError {
  readonly param: string;

  constructor(param: string, problem: InputProblem, code: ErrorCode = 'input') {
    const why = problem.why === undefined ? '' : ` (${problem.why})`;
    super(code, `${param}: got ${show(problem.got)}, need ${problem.need}${why}`, { details: { param, ...problem } });
    this.name = 'InputError';
    this.param = param;
  }
}

/** Prints a value for an error message, cut to a readable length. */
export function show(value: unknown): string {
  const text =
    typeof value === 'string' ? JSON.stringify(value) : Array.isArray(value) ? `[${value.join(', ')}]` : String(value);
  return text.length <= 120 ? text : `${text.slice(0, 100)}… (${text.length} characters)`;
}

/** Checks an internal assumption; failing means a bug in Orrery, not a wrong input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new OrreryError('internal', `internal error: ${message}; please report this`);
}

/** What a schema found wrong, as zod reports it. */
export type SchemaIssue = {
  readonly code?: string;
  readonly message: string;
  readonly minimum?: number | bigint;
  readonly maximum?: number | bigint;
  readonly inclusive?: boolean;
  readonly origin?: string;
  readonly expected?: string;
  readonly values?: readonly unknown[];
};

/** What is allowed, in words that follow "need": "at least 2", "one of a, b". Messages written by us stay as they are. */
export function needOf(issue: SchemaIssue): string {
  const isOurs = !/^(Too |Invalid )/.test(issue.message);
  if (isOurs) return issue.message;
  const unit = issue.origin === 'string' ? ' characters' : issue.origin === 'array' ? ' entries' : '';
  const beyond = (side: string): string =>
    issue.inclusive === false ? `${side === 'least' ? 'more' : 'less'} than` : `at ${side}`;
  if (issue.code === 'too_small') return `${beyond('least')} ${issue.minimum}${unit}`;
  if (issue.code === 'too_big') return `${beyond('most')} ${issue.maximum}${unit}`;
  if (issue.code === 'invalid_value') return `one of ${issue.values?.map(String).join(', ')}`;
  if (issue.code === 'invalid_type') {
    if (issue.expected === 'int') return 'a whole number';
    return `${/^[aeiou]/.test(String(issue.expected)) ? 'an' : 'a'} ${issue.expected}`;
  }
  return issue.message;
}

/** Throws a `canceled` error when the signal has been aborted. Call it between units of long work. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new OrreryError('canceled', 'canceled', { cause: signal.reason });
}

/** Process exit code for an error: 0 done, 1 failed, 2 usage, 3 blocked, 4 model or data, 5 memory or device, 130 interrupted. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof OrreryError)) return 1;
  switch (error.code) {
    case 'input':
    case 'usage':
      return 2;
    case 'blocked':
      return 3;
    case 'model':
    case 'data':
    case 'unsupported':
      return 4;
    case 'memory':
    case 'device':
      return 5;
    case 'canceled':
      return 130;
    default:
      return 1;
  }
}
