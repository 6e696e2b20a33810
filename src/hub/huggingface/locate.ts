// From what a user calls a model to a path: a folder or file, a shipped model, or a model of the hub that is in the cache.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OrreryError } from '../../base/index.ts';
import { shippedModels } from '../model-folder.ts';
import { cachedSnapshot } from './cache.ts';
import { type HubSettings, hubSettings } from './settings.ts';

/**
 * The path of a model. `owner/name` and `owner/name/part` mean the cache of the hub unless such a path exists.
 * @param settings default: from the environment
 */
export function locateModel(model: string, settings: HubSettings = hubSettings()): string {
  const shipped = join(shippedModels(), model);
  if (/^[A-Za-z0-9][\w.-]*$/.test(model) && existsSync(join(shipped, 'model.json'))) return shipped;
  if (existsSync(model)) return model;
  const match = /^([A-Za-z0-9_][\w.-]*\/[A-Za-z0-9_][\w.-]*)((?:\/[A-Za-z0-9_][\w.-]*)*)$/.exec(model);
  if (match === null || model.includes('..')) {
    throw new OrreryError(
      'model',
      `model ${model}: no model.json in ${shipped} and no such file or folder; see: orrery models list`,
    );
  }
  const [, repo, part] = match as unknown as [string, string, string];
  const dir = cachedSnapshot(settings.cacheDir, repo);
  if (dir === undefined) {
    throw new OrreryError(
      'model',
      `model ${model}: no such path, and ${repo} is not in ${settings.cacheDir}; fetch it: orrery models get ${repo} (its licence: ${settings.endpoint}/${repo})`,
    );
  }
  const path = join(dir, part.slice(1));
  if (!existsSync(path))
    throw new OrreryError(
      'model',
      `model ${model}: ${repo} is here, but it has no ${part.slice(1)}; see: orrery models inspect ${repo}`,
    );
  return path;
}
