// Whether a folder of checkpoints belongs to what is to be trained: a run over other texts or pictures must not go on with it.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OrreryError } from '../../base/index.ts';
import { makeFolder, writeFileAtomic } from '../../formats/index.ts';

/** Marks a new folder with the sum of what is trained on; throws when an old one has another mark. */
export function requireSameRun(folder: string, what: unknown): void {
  const sum = createHash('sha256').update(JSON.stringify(what)).digest('hex');
  const path = join(folder, 'trained-on.sha256');
  if (existsSync(path) && readFileSync(path, 'utf8') !== sum) {
    throw new OrreryError(
      'data',
      `${folder} holds a run with other training data or settings; name another folder or remove this one`,
    );
  }
  makeFolder(folder);
  writeFileAtomic(path, sum);
}
