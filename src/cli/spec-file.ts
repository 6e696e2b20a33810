// Requests from files: one JSON object, a JSON list, or JSON lines. Input paths are relative to the file.
import { readFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { OrreryError } from '../base/index.ts';

const MAX_BYTES = 16e6;

/** Reads the requests of a file as plain objects; the task's schema checks their fields. */
export function readRequests(path: string): readonly Readonly<Record<string, unknown>>[] {
  const text = readFileSync(path, 'utf8');
  if (text.length > MAX_BYTES)
    throw new OrreryError('data', `${path}: ${text.length} characters, at most ${MAX_BYTES}`);
  const values = path.endsWith('.jsonl') ? linesOf(path, text) : [parse(path, text)].flat();
  return values.map((value, i) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new OrreryError('input', `${path}: request ${i + 1} is no JSON object, need {"prompt": "…", …}`);
    }
    const request = value as Record<string, unknown>;
    const { input } = request;
    if (typeof input !== 'string' || isAbsolute(input)) return request;
    return { ...request, input: join(dirname(path), input) };
  });
}

function linesOf(path: string, text: string): unknown[] {
  return text
    .split('\n')
    .map((line, i) => ({ line: line.trim(), where: `${path} line ${i + 1}` }))
    .filter(({ line }) => line !== '')
    .map(({ line, where }) => parse(where, line));
}

function parse(where: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OrreryError('data', `${where}: not JSON (${(cause as Error).message})`, { cause });
  }
}
