// Runs a prompt set through the text stage: from a file, or from the own generator.
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import {
  type Guardrail,
  needOf,
  OrreryError,
  randomStream,
  type SchemaIssue,
  throwIfAborted,
} from '../../base/index.ts';
import { type Block, textSource } from '../training/corpus.ts';
import { DISGUISES, disguise } from '../training/disguises.ts';
import type { RedteamResult, RedteamRow } from './report.ts';

const rowSchema = z.looseObject({
  id: z.coerce.string(),
  text: z.string(),
  lang: z.string().default('en'),
  label: z.enum(['unsafe', 'safe']).default('safe'),
  category: z.string().nullable().default(null),
  transform: z.string().default('none'),
  near_category: z.string().nullable().optional(),
  base_id: z.coerce.string().optional(),
});

/** Reads a JSONL prompt file, one row at a time; rows that are no rows are an error with their line number, no rows at all too. */
export async function* readPromptRows(path: string): AsyncGenerator<RedteamRow> {
  const lines = createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Number.POSITIVE_INFINITY });
  let number = 0;
  let rows = 0;
  try {
    for await (const line of lines) {
      number++;
      if (line.trim() === '') continue;
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (cause) {
        throw new OrreryError('data', `${path}:${number}: no valid JSON`, { cause });
      }
      const parsed = rowSchema.safeParse({ id: String(number), ...(value as object) });
      if (!parsed.success) {
        const issue = parsed.error.issues[0]!;
        throw new OrreryError(
          'data',
          `${path}:${number}: ${issue.path.join('.') || 'row'}: need ${needOf(issue as SchemaIssue)}; a row is {"id", "text", …}`,
        );
      }
      rows++;
      yield parsed.data;
    }
    if (rows === 0) throw new OrreryError('data', `${path}: no prompts; need one {"id", "text", …} per line`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw new OrreryError('data', `${path}: no such file`);
    throw error;
  } finally {
    lines.close();
  }
}

/** Endless attacks of our own: texts of the corpus put together anew, disguised, languages mixed, harmless sentences around. */
export function* generatedRows(blocks: readonly Block[], count: number, seed: number): Generator<RedteamRow> {
  const source = textSource(blocks);
  const random = randomStream(seed, 'red team');
  for (let i = 0; i < count; i++) {
    const one = source(random);
    const other = random.uniform() < 0.25 ? source(random) : undefined;
    // A second text counts only when it does not change the label.
    const isJoined = other !== undefined && (other.category === 0 || one.category > 0);
    const joined = isJoined
      ? random.uniform() < 0.5
        ? `${one.text}. ${other.text}`
        : `${other.text}. ${one.text}`
      : one.text;
    const how = one.language === 'en' && random.uniform() < 0.6 ? random.pick(DISGUISES) : undefined;
    yield {
      id: `gen-${seed}-${i}`,
      text: how === undefined ? joined : disguise(joined, how, random),
      lang: isJoined && other.language !== one.language ? `${one.language}+${other.language}` : one.language,
      label: one.category > 0 ? 'unsafe' : 'safe',
      category: one.category > 0 ? `O${one.category}` : null,
      transform: how ?? (one.language === 'en' ? 'none' : 'other_language'),
    };
  }
}

/** Checks rows one after the other. */
export async function* checkRows(
  guard: Guardrail,
  rows: AsyncIterable<RedteamRow> | Iterable<RedteamRow>,
  signal?: AbortSignal,
): AsyncGenerator<RedteamResult> {
  for await (const row of rows) {
    throwIfAborted(signal);
    const began = performance.now();
    const options = signal === undefined ? {} : { signal };
    const { verdict, category, checker, score, checks } = await guard.checkTexts(
      [{ subject: 'prompt', text: row.text }],
      options,
    );
    const categories = checks[checks.length - 1]?.categories ?? [];
    yield { row, verdict, category, categories, checker, score, ms: performance.now() - began };
  }
}
