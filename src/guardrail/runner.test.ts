// The runner fails closed: whatever a checker does, the answer is a decision, and only "safe" passes.
import { expect, test } from 'vitest';
import { type Answer, type Checker, joinDecisions, type RunnerOptions, runCheckers } from './runner.ts';
import { categoriesFrom } from './text/text-checkers.ts';

const options: RunnerOptions = { stage: 'pre', subject: 'prompt', timeoutSeconds: 5, optional: new Set() };
const checker = (name: string, check: Checker<string>['check']): Checker<string> => ({ name, version: '1', check });
const says = (name: string, answer: Answer): Checker<string> => checker(name, () => answer);
const safe = says('first', { verdict: 'safe', score: 0.2, reason: 'fine' });

test('all safe passes, with the checks that ran and the highest score', async () => {
  const decision = await runCheckers(
    [safe, says('second', { verdict: 'safe', score: 0.4, reason: 'fine' })],
    'x',
    options,
  );
  expect(decision).toMatchObject({ isAllowed: true, verdict: 'safe', checker: 'none', score: 0.4 });
  expect(decision.checks.map((c) => c.checker)).toEqual(['first', 'second']);
});

test('the first unsafe decides, later checkers do not run, and the message names category and stage only', async () => {
  let ran = false;
  const later = checker('later', () => {
    ran = true;
    return { verdict: 'safe', reason: '' };
  });
  const decision = await runCheckers(
    [safe, says('list', { verdict: 'unsafe', category: 'O4', reason: 'the phrase pipe bomb' }), later],
    'x',
    options,
  );
  expect(decision).toMatchObject({ isAllowed: false, verdict: 'unsafe', category: 'O4', checker: 'list' });
  expect(decision.message).toMatch(/^blocked before generation: O4/);
  expect(decision.message).not.toMatch(/pipe bomb/);
  expect(ran).toBe(false);
});

const faults: readonly (readonly [string, Checker<string>['check'], RegExp])[] = [
  [
    'an exception',
    () => {
      throw new Error('tables are gone');
    },
    /tables are gone/,
  ],
  ['a rejection', () => Promise.reject(new Error('worker died')), /worker died/],
  [
    'a thrown string',
    () => {
      throw 'no error object';
    },
    /no error object/,
  ],
  [
    'memory that is not there',
    () => ({ verdict: 'safe', reason: String(new Uint8Array(2 ** 52).length) }),
    /failed: .*(length|memory|allocation)/i,
  ],
  [
    'endless recursion',
    () => {
      const f = (): number => f() + 1;
      return { verdict: 'safe', reason: String(f()) };
    },
    /call stack/,
  ],
  ['no answer', () => undefined as unknown as Answer, /unusable answer/],
  ['an unknown verdict', () => ({ verdict: 'fine', reason: '' }) as unknown as Answer, /unusable answer/],
  ['a score that is no number', () => ({ verdict: 'safe', score: Number.NaN, reason: '' }), /score is no number/],
];
for (const [what, check, message] of faults) {
  test(`${what} blocks with error`, async () => {
    const decision = await runCheckers([checker('broken', check), safe], 'x', options);
    expect(decision).toMatchObject({ isAllowed: false, verdict: 'error', checker: 'broken' });
    expect(decision.message).toMatch(message);
  });
}

test('a checker that never answers blocks after its time and is told to stop', async () => {
  let stopped = false;
  const hangs = checker('slow', (_, signal) => {
    signal.addEventListener('abort', () => {
      stopped = true;
    });
    return new Promise<Answer>(() => undefined);
  });
  const decision = await runCheckers([hangs], 'x', { ...options, timeoutSeconds: 0.02 });
  expect(decision).toMatchObject({ isAllowed: false, verdict: 'error' });
  expect(decision.message).toMatch(/no answer within 0\.02 s; raise timeoutSeconds/);
  expect(stopped).toBe(true);
});

test('not-configured blocks unless the policy calls the checker optional', async () => {
  const absent = says('content', { verdict: 'not-configured', reason: 'no weights' });
  expect((await runCheckers([absent], 'x', options)).isAllowed).toBe(false);
  const passed = await runCheckers([absent], 'x', { ...options, optional: new Set(['content']) });
  expect(passed.isAllowed).toBe(true);
  expect(passed.checks[0]!.verdict).toBe('not-configured');
});

test('no checker at all is an error, and an allowed category passes with a reason', async () => {
  expect((await runCheckers([], 'x', options)).verdict).toBe('error');
  const unsafe = says('list', { verdict: 'unsafe', category: 'O12', reason: 'a list phrase' });
  const passed = await runCheckers([unsafe], 'x', { ...options, allow: new Set(['O12']) });
  expect(passed.isAllowed).toBe(true);
  expect(passed.checks[0]!.reason).toMatch(/O12 is allowed by the policy/);
});

test('cancelling is no verdict', async () => {
  const aborted = AbortSignal.abort();
  const stops = checker('stops', (_, signal) => {
    signal.throwIfAborted();
    return { verdict: 'safe', reason: '' };
  });
  await expect(runCheckers([stops], 'x', { ...options, signal: aborted })).rejects.toThrow(/canceled/);
});

test('joined decisions: the first block decides, every check is kept', async () => {
  const good = await runCheckers([safe], 'x', options);
  const bad = await runCheckers([says('list', { verdict: 'unsafe', category: 'O1', reason: '' })], 'x', options);
  const joined = joinDecisions([good, bad, good]);
  expect(joined).toMatchObject({ isAllowed: false, category: 'O1', score: 1 });
  expect(joined.checks).toHaveLength(3);
});

test('a category that the policy lets through does not hide another one that was found', async () => {
  const both = says('list', { verdict: 'unsafe', category: 'O12', also: ['O12', 'O4'], reason: '' });
  const decisionOf = (allow: string[]) => runCheckers([both], 'x', { ...options, allow: new Set(allow) });
  expect(await decisionOf(['O12'])).toMatchObject({ isAllowed: false, category: 'O4' });
  expect(await decisionOf(['O12', 'O4'])).toMatchObject({ isAllowed: true });
});

test('all categories that were found stand in the record, without those that the policy lets through', async () => {
  const three = says('classifier', { verdict: 'unsafe', category: 'O4', also: ['O12', 'O3'], reason: '' });
  const categoriesOf = async (allow: string[]) =>
    (await runCheckers([three], 'x', { ...options, allow: new Set(allow) })).checks[0]!.categories;
  expect(await categoriesOf([])).toEqual(['O4', 'O12', 'O3']);
  expect(await categoriesOf(['O4'])).toEqual(['O12', 'O3']);
  expect(await categoriesOf(['O12'])).toEqual(['O4', 'O3']);
});

test('a category is held against its own threshold by its own score', () => {
  const scores = [0.9, 0.1, 0, 0.35, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  const at = (thresholds: Record<string, number>) =>
    categoriesFrom(scores, (c) => thresholds[c] ?? 0.6).map((found) => found.code);
  expect(at({})).toEqual(['O1']);
  expect(at({ O4: 0.3 })).toEqual(['O1', 'O4']);
  // A strict threshold of one category says nothing about the others.
  expect(at({ O1: 0.95, O4: 0.3 })).toEqual(['O4']);
  expect(at({ O1: 0.95 })).toEqual([]);
});
