// Runs checkers in order and fails closed: an exception, a time-out, a missing part or an unusable answer is `error`, which
// blocks. The result lists the checks that really ran.
import {
  type GuardCategory,
  type GuardCheck,
  type GuardDecision,
  type GuardVerdict,
  OrreryError,
} from '../base/index.ts';
import { describeCategory } from './categories.ts';

/** What a checker answers. */
export type Answer = {
  readonly verdict: GuardVerdict;
  readonly category?: GuardCategory;
  /** More categories that were found: they decide when the policy lets `category` through. */
  readonly also?: readonly GuardCategory[];
  readonly score?: number;
  readonly reason: string;
};

/** One checker over things of type T. */
export type Checker<T> = {
  readonly name: string;
  readonly version: string;
  /** May throw; the runner makes an `error` of it. */
  check(subject: T, signal: AbortSignal): Promise<Answer> | Answer;
};

export type RunnerOptions = {
  readonly stage: 'pre' | 'post';
  readonly subject: string;
  readonly timeoutSeconds: number;
  /** Checkers that may be `not-configured`. */
  readonly optional: ReadonlySet<string>;
  /** Categories that are let through. */
  readonly allow?: ReadonlySet<string>;
  readonly signal?: AbortSignal;
};

const VERDICTS: ReadonlySet<string> = new Set(['safe', 'unsafe', 'error', 'not-configured']);

/** Runs the checkers in order; the first that blocks decides. No checkers at all is an error: nothing was checked. */
export async function runCheckers<T>(
  checkers: readonly Checker<T>[],
  subject: T,
  options: RunnerOptions,
): Promise<GuardDecision> {
  const checks: GuardCheck[] = [];
  let score = 0;
  for (const checker of checkers) {
    const began = performance.now();
    const answer = letThrough(await ask(checker, subject, options), options.allow);
    const ms = performance.now() - began;
    const { verdict, category = '-', reason } = answer;
    const { name, version } = checker;
    const base = { checker: name, version, stage: options.stage, subject: options.subject, verdict, category };
    const all = verdict === 'unsafe' ? { categories: [...new Set([category, ...(answer.also ?? [])])] } : {};
    checks.push({ ...base, ...all, ...(answer.score === undefined ? {} : { score: answer.score }), reason, ms });
    score = Math.max(score, answer.score ?? (verdict === 'unsafe' ? 1 : 0));
    const passes = verdict === 'safe' || (verdict === 'not-configured' && options.optional.has(name));
    if (!passes) return decided(checks, verdict, category, name, score, options.stage);
  }
  if (checkers.length === 0) {
    const reason = 'no checker is configured; name at least one in the policy';
    const nothing = {
      checker: 'none',
      version: '-',
      stage: options.stage,
      subject: options.subject,
      category: '-',
    } as const;
    return decided([{ ...nothing, verdict: 'error', reason, ms: 0 }], 'error', '-', 'none', 1, options.stage);
  }
  return { isAllowed: true, verdict: 'safe', category: '-', checker: 'none', score, message: 'safe', checks };
}

function letThrough(answer: Answer, allow: ReadonlySet<string> | undefined): Answer {
  if (answer.verdict !== 'unsafe' || answer.category === undefined || allow === undefined) return answer;
  if (!allow.has(answer.category)) return { ...answer, also: answer.also?.filter((c) => !allow.has(c)) ?? [] };
  const [category, ...also] = answer.also?.filter((c) => !allow.has(c)) ?? [];
  if (category !== undefined) return { ...answer, category, also };
  return { ...answer, verdict: 'safe', reason: `${answer.category} is allowed by the policy` };
}

async function ask<T>(checker: Checker<T>, subject: T, options: RunnerOptions): Promise<Answer> {
  const timeout = new AbortController();
  const signal = options.signal === undefined ? timeout.signal : AbortSignal.any([options.signal, timeout.signal]);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Answer>((resolve) => {
    timer = setTimeout(() => {
      timeout.abort();
      resolve({
        verdict: 'error',
        reason: `${checker.name} gave no answer within ${options.timeoutSeconds} s; raise timeoutSeconds in the policy or use a faster machine`,
      });
    }, options.timeoutSeconds * 1000);
  });
  try {
    const answer = await Promise.race([Promise.resolve().then(() => checker.check(subject, signal)), late]);
    return usable(answer, checker.name);
  } catch (error) {
    if (options.signal?.aborted === true) throw new OrreryError('canceled', 'canceled', { cause: error });
    return {
      verdict: 'error',
      reason: `${checker.name} failed: ${error instanceof Error ? error.message : String(error)}`,
    };
  } finally {
    clearTimeout(timer);
  }
}

/** Whatever is not a proper answer is an error. */
function usable(answer: Answer | undefined, name: string): Answer {
  const isProper = answer !== undefined && answer !== null && VERDICTS.has(answer.verdict);
  const isNumber = answer?.score === undefined || Number.isFinite(answer.score);
  if (isProper && isNumber) return answer;
  return { verdict: 'error', reason: `${name} gave an unusable answer${isProper ? ' (its score is no number)' : ''}` };
}

function decided(
  checks: readonly GuardCheck[],
  verdict: GuardVerdict,
  category: GuardCategory,
  checker: string,
  score: number,
  stage: 'pre' | 'post',
): GuardDecision {
  const where = stage === 'pre' ? 'before generation' : 'after generation';
  const message =
    verdict === 'unsafe'
      ? `blocked ${where}: ${describeCategory(category)}`
      : `blocked ${where}: ${checker} could not decide (${verdict}); ${checks[checks.length - 1]!.reason}`;
  return { isAllowed: false, verdict, category, checker, score, message, checks };
}

/** Several decisions as one: the first that blocks, with the checks of all that ran. */
export function joinDecisions(decisions: readonly GuardDecision[]): GuardDecision {
  const first = decisions.find((d) => !d.isAllowed) ?? decisions[0]!;
  const score = Math.max(...decisions.map((d) => d.score));
  return { ...first, score, checks: decisions.flatMap((d) => d.checks) };
}
