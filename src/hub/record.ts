// The record of a model folder (`model.json`) and its checks. No file access.

import { z } from 'zod';
import { OrreryError } from '../base/index.ts';

/** Plain names and forward slashes below the model folder; nothing hidden, nothing that leaves it. */
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;

const fileSchema = z.object({
  /** Length in bytes. */
  sizeBytes: z.int().min(0),
  /** SHA-256 of the content, 64 lower-case hexadecimal digits. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'need 64 lower-case hexadecimal digits'),
});

/** Schema of `model.json`. Keys it does not know are kept: later versions may write more. */
export const modelRecordSchema = z.looseObject({
  /** Version of this record. */
  version: z.literal(1).default(1),
  /** Which network, such as "orrery-nano": decides what `config` means. */
  kind: z.string().min(1).max(64),
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'need letters, digits, dots, dashes, at most 64'),
  /** Number of weights. */
  parameters: z.int().min(0),
  /** Hyperparameters, checked by the network of this kind. */
  config: z.unknown(),
  /** Name of the tokenizer model that goes with it. */
  tokenizer: z.string().optional(),
  /** Where the weights came from: recipe, data, steps, hours. */
  training: z.unknown().optional(),
  /** Measured scores. */
  scores: z.unknown().optional(),
  /** SPDX identifier or name of the licence of the weights. */
  licence: z.string().optional(),
  /** Every file that belongs to the model, except `model.json` and the card. */
  files: z.record(z.string().regex(FILE_NAME, 'need a plain relative name'), fileSchema),
});

type Checked = z.output<typeof modelRecordSchema>;

/** Size and checksum of one file. */
export type FileRecord = { readonly sizeBytes: number; readonly sha256: string };

/** Record of a model folder (`model.json`). */
export type ModelRecord = Readonly<
  Pick<Checked, 'version' | 'kind' | 'name' | 'parameters' | 'config' | 'tokenizer' | 'training' | 'scores' | 'licence'>
> & { readonly files: Readonly<Record<string, FileRecord>> };

/** Checks the text of a `model.json`. @param source its path, for messages */
export function parseModelRecord(text: string, source: string): ModelRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new OrreryError('model', `${source}: no valid JSON; restore the model folder from the package`, { cause });
  }
  const result = modelRecordSchema.safeParse(value);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0]!;
  const version = (value as { version?: unknown } | null)?.version;
  if (path[0] === 'version') {
    throw new OrreryError(
      'model',
      `${source}: version is ${JSON.stringify(version)}, this release reads version 1; update orrery, or convert the model again with this release`,
    );
  }
  const where = path.length === 0 ? 'the record' : path.join('.');
  throw new OrreryError('model', `${source}: ${where}: ${message}; restore the model folder or correct the record`, {
    cause: result.error,
  });
}
