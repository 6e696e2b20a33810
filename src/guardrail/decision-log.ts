// The decision log: one JSON line per decision, with reason codes and without pixels; texts only when the policy is not private.
import { appendFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type GuardDecision, OrreryError } from '../base/index.ts';
import { makeFolder } from '../formats/index.ts';

/** One line of the log. */
export type LoggedDecision = {
  readonly time: string;
  readonly policy: string;
  readonly verdict: GuardDecision['verdict'];
  readonly category: GuardDecision['category'];
  readonly checker: string;
  readonly checks: readonly {
    readonly checker: string;
    readonly subject: string;
    readonly verdict: string;
    readonly ms: number;
  }[];
  readonly texts?: readonly string[];
};

export type LogOptions = { readonly path: string; readonly policy: string; readonly isPrivate: boolean };

/** Appends a decision. A log that cannot be written is an error: a policy that asks for one wants no decision without it. */
export function logDecision(
  decision: GuardDecision,
  texts: readonly string[],
  { path, policy, isPrivate }: LogOptions,
): void {
  const line: LoggedDecision = {
    time: new Date().toISOString(),
    policy,
    verdict: decision.verdict,
    category: decision.category,
    checker: decision.checker,
    checks: decision.checks.map(({ checker, subject, verdict, ms }) => ({
      checker,
      subject,
      verdict,
      ms: Math.round(ms * 100) / 100,
    })),
    ...(isPrivate || texts.length === 0 ? {} : { texts }),
  };
  try {
    makeFolder(dirname(path));
    appendFileSync(path, `${JSON.stringify(line)}\n`);
  } catch (cause) {
    throw new OrreryError('disk', `cannot write the decision log ${path}: ${(cause as Error).message}`, { cause });
  }
}
