// Where the hub is and where its cache lies, from the environment that users of its Python library already have.
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { InputError } from '../../base/index.ts';

/** How the hub is reached. */
export type HubSettings = {
  /** Address without a slash at the end. */
  readonly endpoint: string;
  readonly token?: string;
  /** Folder of the cache, laid out as the Python library does. */
  readonly cacheDir: string;
  /** Use only what is in the cache. */
  readonly isOffline: boolean;
};

/** Reads `HF_ENDPOINT`, `HF_TOKEN` (else the file that a login wrote), `HF_HUB_CACHE`, `HF_HOME`, `HF_HUB_OFFLINE`. */
export function hubSettings(env: NodeJS.ProcessEnv = process.env): HubSettings {
  const home = env.HF_HOME || join(env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'huggingface');
  const token = env.HF_TOKEN?.trim() || storedToken(env.HF_TOKEN_PATH || join(home, 'token'));
  return {
    endpoint: checkedEndpoint(env.HF_ENDPOINT || 'https://huggingface.co'),
    ...(token === undefined ? {} : { token }),
    cacheDir: env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE || join(home, 'hub'),
    isOffline: /^(1|true|yes|on)$/i.test(env.HF_HUB_OFFLINE ?? ''),
  };
}

function storedToken(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

function checkedEndpoint(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.username !== '') {
    throw new InputError('HF_ENDPOINT', { got: text, need: 'an address such as https://huggingface.co' }, 'usage');
  }
  return text.replace(/\/+$/, '');
}

/** Whether a token may be sent: encrypted, or to this machine. */
export function isPrivate(url: URL): boolean {
  return url.protocol === 'https:' || ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
}

/** Checks a model name of the hub, `owner/name`. */
export function checkRepo(repo: string): string {
  const part = '[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?';
  if (!new RegExp(`^${part}/${part}$`).test(repo) || repo.includes('--') || repo.includes('..')) {
    throw new InputError(
      'model',
      { got: repo, need: 'owner/name, such as nvidia/Cosmos-Tokenize1-CV8x8x8-720p' },
      'usage',
    );
  }
  return repo;
}

/** Whether a text looks like a model of the hub rather than a path. */
export const isRepoName = (text: string): boolean =>
  /^[A-Za-z0-9_][\w.-]*\/[A-Za-z0-9_][\w.-]*$/.test(text) && !text.includes('..');

/** Checks a branch, tag or commit. */
export function checkRevision(revision: string): string {
  if (!/^[A-Za-z0-9_][A-Za-z0-9_./-]{0,127}$/.test(revision) || revision.includes('..') || revision.includes('//')) {
    throw new InputError('--revision', { got: revision, need: 'a branch, a tag or a commit of 40 digits' }, 'usage');
  }
  return revision;
}

export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);
