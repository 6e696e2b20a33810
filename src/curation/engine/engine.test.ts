// The engine on its own: exactly-once through a journal, retries, dead letters, isolation of bad units, back-pressure.
import { appendFileSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OrreryError } from '../../base/index.ts';
import { allocate } from './allocator.ts';
import { queueLimit } from './back-pressure.ts';
import { openEmbedded } from './embedded.ts';
import { readJournal } from './journal.ts';
import { runPipeline } from './pipeline.ts';
import type { Stage, Unit } from './stage.ts';

const temporary = (): string => join(mkdtempSync(join(tmpdir(), 'orrery-engine-')), 'journal.jsonl');

function stage(name: string, one: (unit: Unit<number>) => Promise<void> | void, batch = 1): Stage {
  return {
    name,
    batch,
    cores: 0.5,
    open: async () => ({
      process: async (units, io) => {
        for (const unit of units) {
          await one(unit as Unit<number>);
          await io.emit(unit, unit.id);
        }
      },
      dispose: () => {},
    }),
  };
}

const numbers = (n: number): Unit<number>[] => Array.from({ length: n }, (_, i) => ({ id: `u${i}`, value: i }));

async function run(stages: readonly Stage[], source: readonly Unit[], journal?: string, retryDead = false) {
  const backend = openEmbedded({
    stages: stages.map((s) => s.name),
    retryDead,
    ...(journal === undefined ? {} : { journal }),
  });
  for await (const _ of runPipeline({ stages, backend, source, cores: 2, progressSeconds: 0.05 }));
  await backend.close();
  return backend;
}

describe('pipeline', () => {
  it('brings every unit through all stages once', async () => {
    const backend = await run([stage('a', () => {}), stage('b', () => {}, 4)], numbers(200));
    expect(new Set(backend.results.map((r) => r.id)).size).toBe(200);
    expect(backend.results.length).toBe(200);
  });

  it('ends units in results or dead letters, never silently', async () => {
    const attempts = new Map<string, number>();
    const bad = stage(
      'a',
      ({ id, value }) => {
        attempts.set(id, (attempts.get(id) ?? 0) + 1);
        if (value % 10 === 3) throw new OrreryError('data', 'damaged');
      },
      5,
    );
    const backend = await run([bad], numbers(50));
    expect(backend.results.length).toBe(45);
    expect(backend.deadLetters.map((d) => d.error.message)).toEqual(new Array(5).fill('damaged'));
    // A neighbour in a bad batch is worked on again, the damaged one is not retried for nothing.
    expect(backend.deadLetters.every((d) => d.attempts === 1)).toBe(true);
  });

  it('retries what may pass, and gives up after the limit', async () => {
    let failures = 0;
    const flaky: Stage = {
      ...stage('a', ({ value }) => {
        if (value === 0 && failures++ < 1) throw new Error('lost');
        if (value === 1) throw new Error('always');
      }),
      attempts: 2,
    };
    const backend = await run([flaky], numbers(3));
    expect(backend.results.map((r) => r.id).sort()).toEqual(['u0', 'u2']);
    expect(backend.deadLetters).toMatchObject([{ id: 'u1', attempts: 2, error: { message: 'always' } }]);
  });

  it('continues from a journal whose last line is torn, without doing anything twice', async () => {
    const journal = temporary();
    const done: string[] = [];
    const stop = new AbortController();
    const slow = stage('a', async ({ id }) => {
      done.push(id);
      if (done.length === 20) stop.abort();
    });
    const backend = openEmbedded({ stages: ['a'], journal });
    await expect(async () => {
      for await (const _ of runPipeline({ stages: [slow], backend, source: numbers(60), signal: stop.signal }));
    }).rejects.toThrow('canceled');
    await backend.close();
    const finished = new Set([...readJournal(journal)].flatMap((e) => (e.e === 'done' ? [e.id] : [])));
    appendFileSync(journal, '{"e":"done","s":"a","i');
    const again: string[] = [];
    const next = await run([stage('a', ({ id }) => void again.push(id))], numbers(60), journal);
    expect(again.filter((id) => finished.has(id))).toEqual([]);
    expect(new Set(next.results.map((r) => r.id)).size).toBe(60);
    const ids = readFileSync(journal, 'utf8')
      .split('\n')
      .filter((line) => line.includes('"result"'));
    expect(ids.length).toBe(60);
  });

  it('keeps dead letters dead on resume unless asked', async () => {
    const journal = temporary();
    const bad = stage('a', () => {
      throw new OrreryError('data', 'damaged');
    });
    await run([bad], numbers(1), journal);
    const still = await run([stage('a', () => {})], numbers(1), journal);
    expect([still.results.length, still.deadLetters.length]).toEqual([0, 1]);
    const better = await run([stage('a', () => {})], numbers(1), journal, true);
    expect([better.results.length, better.deadLetters.length]).toEqual([1, 0]);
  });

  it('stops the source while a later stage is full', async () => {
    let made = 0;
    function* source(): Generator<Unit> {
      for (let i = 0; i < 500; i++) {
        made++;
        yield { id: `u${i}`, value: i };
      }
    }
    let most = 0;
    let out = 0;
    const slow = stage('b', async () => {
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, made - out++);
    });
    const backend = openEmbedded({ stages: ['a', 'b'] });
    for await (const _ of runPipeline({ stages: [stage('a', () => {}), slow], backend, source: source(), cores: 2 }));
    expect(out).toBe(500);
    // Two queues of at most 16, the running ones, one in the hands of the source.
    expect(most).toBeLessThan(60);
  });
});

describe('rules', () => {
  it('limit queues by the published formula', () => {
    expect(queueLimit({ workers: 1, batch: 1 })).toBe(16);
    expect(queueLimit({ workers: 8, batch: 1 })).toBe(24);
    expect(queueLimit({ workers: 0, batch: 40 })).toBe(40);
  });

  it('give workers to the slowest stage', () => {
    const load = (name: string, secondsPerUnit: number, more = {}) => ({ name, cores: 1, secondsPerUnit, ...more });
    expect(allocate([load('a', 1), load('b', 1)], 2)).toEqual([1, 1]);
    expect(allocate([load('a', 1), load('b', 3)], 8)).toEqual([2, 6]);
    // Ten clips per video make the second stage ten times as heavy.
    expect(allocate([load('a', 1), load('b', 0.3, { unitsPerSource: 10 })], 8)).toEqual([2, 6]);
    expect(allocate([load('a', 1, { workers: 1 }), load('b', 3)], 4)).toEqual([1, 3]);
    expect(allocate([load('a', 1, { hasWork: false }), load('b', 3)], 4)).toEqual([0, 4]);
    // Light stages do not keep the heavy one from its second core, and those that nothing has come to claim nothing.
    const light = { cores: 0.25 };
    expect(allocate([load('a', 20), load('b', 0.1, light), load('c', 0.1, light)], 2)).toEqual([2, 1, 1]);
    expect(allocate([load('a', 1), load('b', 0), load('c', 0)], 4)[0]).toBe(4);
    // A machine too small for one worker each still runs them all.
    expect(allocate([load('a', 1), load('b', 1), load('c', 1)], 1)).toEqual([1, 1, 1]);
  });
});
