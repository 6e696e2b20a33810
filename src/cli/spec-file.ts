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
    return {
      ...beside(path, request),
      ...(Array.isArray(request.views) ? { views: request.views.map((v) => beside(path, v)) } : {}),
    };
  });
}

/** Fields that name files. */
const PATHS = ['input', 'camera', 'trajectory', 'actions'] as const;

/** File names of an object, relative to the file that it came from. */
function beside(path: string, value: unknown): Record<string, unknown> {
  const fields = value as Record<string, unknown>;
  if (typeof value !== 'object' || value === null) return fields;
  const moved = PATHS.flatMap((name) => {
    const at = fields[name];
    return typeof at === 'string' && !isAbsolute(at) ? [[name, join(dirname(path), at)] as const] : [];
  });
  return { ...fields, ...Object.fromEntries(moved) };
}

/**
 * The cameras of a multi-view model from a file: a JSON list of prompts or of `{"prompt", "input", "frame_repeat"}`, or a text file with a
 * prompt per line.
 */
export function readViews(path: string): readonly unknown[] {
  const text = readFileSync(path, 'utf8');
  if (text.length > MAX_BYTES)
    throw new OrreryError('data', `${path}: ${text.length} characters, at most ${MAX_BYTES}`);
  if (!path.endsWith('.json')) {
    const lines = text.split('\n').map((line) => line.trim());
    return lines.filter((line) => line !== '').map((prompt) => ({ prompt }));
  }
  const list = parse(path, text);
  if (!Array.isArray(list)) {
    throw new OrreryError(
      'input',
      `${path} is no JSON list, need one entry per camera: "a prompt" or {"prompt": "…", "input": "front.mp4"}`,
    );
  }
  return list.map((one: unknown) => (typeof one === 'string' ? { prompt: one } : beside(path, one)));
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
