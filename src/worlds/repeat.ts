// Repeating a run from its folder: the request as it was resolved, and a check that the models are still the same.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { InputError, OrreryError } from '../base/index.ts';
import { readModelFolder } from '../hub/index.ts';
import { type GenerateRequest, parseRequest, requestSchema } from './request.ts';

const resolvedSchema = z.looseObject({
  task: z.literal('generate'),
  models: z.array(
    z.looseObject({ name: z.string(), files: z.record(z.string(), z.looseObject({ sha256: z.string() })) }),
  ),
});

/**
 * The request that makes the videos of a generation again, byte for byte on the same processor type.
 * @param run run folder, or its `resolved.json`
 * @throws when it is no generation, was private, or its model has changed since
 */
export function requestOfRun(run: string): GenerateRequest {
  const path = run.endsWith('.json') ? run : join(run, 'resolved.json');
  if (!existsSync(path))
    throw new InputError('from', { got: run, need: 'a run folder with resolved.json; see: orrery runs list' });
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new OrreryError('data', `${path}: not JSON (${(cause as Error).message})`, { cause });
  }
  const parsed = resolvedSchema.safeParse(value);
  if (!parsed.success)
    throw new OrreryError('data', `${path}: no record of a generation (${parsed.error.issues[0]!.message})`);
  const known = Object.keys(requestSchema.shape);
  const request = parseRequest(
    Object.fromEntries(Object.entries(value as object).filter(([key]) => known.includes(key))),
  );
  if (request.private)
    throw new InputError('from', { got: run, need: 'a run that was not private', why: 'its prompt was not kept' });
  for (const made of parsed.data.models) {
    const { record } = readModelFolder(made.name === parsed.data.models[0]!.name ? request.model : made.name);
    for (const [file, { sha256 }] of Object.entries(made.files)) {
      if (record.files[file]?.sha256 === sha256) continue;
      throw new OrreryError(
        'model',
        `${path}: ${made.name}/${file} had sha256 ${sha256.slice(0, 12)}…, now ${record.files[file]?.sha256.slice(0, 12) ?? 'none'}…; restore that version of the model, or ask for the same request anew`,
      );
    }
  }
  return request;
}
