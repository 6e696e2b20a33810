// Requests to the hub: redirects followed by hand so that the token stays with the hub, refusals in words, model descriptions.
import { z } from 'zod';
import { OrreryError } from '../../base/index.ts';
import { type HubSettings, isCommit, isPrivate } from './settings.ts';

const MAX_REDIRECTS = 5;
const MAX_JSON_BYTES = 32_000_000;

/** The network failed or the server is busy: worth another try. */
export class TransientError extends Error {
  readonly afterMs: number | undefined;
  constructor(message: string, options: { cause?: unknown; afterMs?: number } = {}) {
    super(message, { cause: options.cause });
    this.afterMs = options.afterMs;
  }
}

/** What a request asks for. */
export type HubRequest = {
  readonly url: string;
  readonly settings: HubSettings;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Model that is asked for, for messages. */
  readonly repo: string;
  readonly what: string;
};

/** A final answer, and the headers of the first one: the hub tells a file's identity before it redirects to a store. */
export type HubAnswer = { readonly response: Response; readonly first: Headers };

/** Sends a GET request. Refusals become errors that say what to do; lost connections become `TransientError`. */
export async function hubGet(request: HubRequest): Promise<HubAnswer> {
  const { settings, signal } = request;
  const home = new URL(settings.endpoint);
  let url = new URL(request.url);
  let first: Headers | undefined;
  for (let hop = 0; ; hop++) {
    const headers: Record<string, string> = { 'user-agent': 'orrery', ...request.headers };
    // Never to another host, and never in the clear.
    if (settings.token !== undefined && url.origin === home.origin && isPrivate(url))
      headers.authorization = `Bearer ${settings.token}`;
    let response: Response;
    try {
      response = await fetch(url, { headers, redirect: 'manual', ...(signal === undefined ? {} : { signal }) });
    } catch (cause) {
      if (signal?.aborted) throw new OrreryError('canceled', 'canceled', { cause: signal.reason });
      throw new TransientError(`${url.host} cannot be reached (${reasonOf(cause)})`, { cause });
    }
    first = mergeHeaders(first, response.headers);
    if (response.status < 300 || response.status >= 400) {
      if (response.ok) return { response, first };
      await refuse(response, request);
    }
    const location = response.headers.get('location');
    await response.body?.cancel();
    if (location === null || hop >= MAX_REDIRECTS) {
      throw new OrreryError(
        'model',
        `${request.what}: ${url.host} redirects ${location === null ? 'nowhere' : `more than ${MAX_REDIRECTS} times`}; check HF_ENDPOINT`,
      );
    }
    const next = new URL(location, url);
    if (!['https:', 'http:'].includes(next.protocol) || (url.protocol === 'https:' && next.protocol === 'http:')) {
      throw new OrreryError(
        'model',
        `${request.what}: ${url.host} redirects to ${next.protocol}//${next.host}, which is not safe; check HF_ENDPOINT`,
      );
    }
    url = next;
  }
}

/** The hub's own headers win: a store behind it has other etags. */
function mergeHeaders(first: Headers | undefined, next: Headers): Headers {
  const merged = new Headers(first);
  for (const [name, value] of next) if (!merged.has(name)) merged.set(name, value);
  return merged;
}

function reasonOf(error: unknown): string {
  const cause = (error as { cause?: { code?: string; message?: string } }).cause;
  return cause?.code ?? cause?.message ?? (error as Error).message;
}

async function refuse(response: Response, { settings, repo, what }: HubRequest): Promise<never> {
  const { status, headers } = response;
  const page = `${settings.endpoint}/${repo}`;
  const code = headers.get('x-error-code') ?? '';
  const note = (headers.get('x-error-message') ?? '').slice(0, 200);
  await response.body?.cancel();
  const who = settings.token === undefined ? 'no token was sent' : 'with the token in HF_TOKEN';
  const isGated = code === 'GatedRepo' || /gated|restricted|access to model/i.test(note);
  const fail = (message: string): never => {
    throw new OrreryError('model', `${what}: ${message}`, { details: { status, code, note } });
  };
  if (isGated && (status === 401 || status === 403)) {
    const then =
      settings.token === undefined
        ? `then make a token at ${settings.endpoint}/settings/tokens and set HF_TOKEN`
        : 'with the account whose token is in HF_TOKEN; if you have asked already, its owner has not agreed yet';
    fail(`${repo} is gated (${status}, ${who}): open ${page}, sign in and accept its licence, ${then}`);
  }
  if (status === 401)
    fail(
      `the hub asks who you are (401, ${who}): the model is private or does not exist. Check the name at ${page}; for a private one set HF_TOKEN to a token from ${settings.endpoint}/settings/tokens`,
    );
  if (status === 403)
    fail(
      `the hub refuses (403, ${who}): open ${page} and accept what it asks for, or use a token that may read this model`,
    );
  if (status === 404) {
    const which =
      code === 'RevisionNotFound'
        ? 'has no such revision; --revision takes a branch, a tag or a commit'
        : code === 'EntryNotFound'
          ? 'has no such file'
          : 'is not there; check the name';
    fail(`${repo} ${which} (404, ${page})`);
  }
  if (status === 416) fail('the hub has fewer bytes than were fetched before (416)');
  if (status === 429 || status >= 500) {
    const after = Number(headers.get('retry-after'));
    throw new TransientError(
      `the hub answers ${status}${status === 429 ? ', too many requests' : ''}`,
      after > 0 ? { afterMs: Math.min(after, 60) * 1000 } : {},
    );
  }
  return fail(`the hub answers ${status}; check HF_ENDPOINT and the name of the model`);
}

const siblingSchema = z.looseObject({
  rfilename: z.string().min(1).max(1024),
  size: z.int().min(0).optional(),
  blobId: z
    .string()
    .regex(/^[0-9a-f]{40}$/)
    .optional(),
  lfs: z
    .looseObject({
      sha256: z
        .string()
        .regex(/^[0-9a-f]{64}$/)
        .optional(),
      oid: z.string().optional(),
      size: z.int().min(0).optional(),
    })
    .nullish(),
});
const infoSchema = z.looseObject({
  sha: z.string().regex(/^[0-9a-f]{40}$/),
  siblings: z.array(siblingSchema).max(100_000),
  gated: z.union([z.boolean(), z.string()]).optional(),
  cardData: z.looseObject({ license: z.unknown().optional(), license_name: z.unknown().optional() }).nullish(),
});

/** A file of a model as the hub lists it. */
export type HubFile = {
  readonly name: string;
  readonly sizeBytes?: number;
  /** Hash of the content: SHA-256 of large files, git's SHA-1 of others. */
  readonly blob?: string;
};

/** A model at one commit. */
export type HubModel = {
  readonly repo: string;
  readonly commit: string;
  readonly files: readonly HubFile[];
  readonly isGated: boolean;
  readonly licence?: string;
};

/** Asks the hub which commit a revision is and what it holds. */
export async function describeModel(
  repo: string,
  revision: string,
  settings: HubSettings,
  signal?: AbortSignal,
): Promise<HubModel> {
  const url = `${settings.endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const { response } = await hubGet({ url, settings, repo, what: repo, ...(signal === undefined ? {} : { signal }) });
  const text = await limitedText(response, url);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new OrreryError('model', `${settings.endpoint} does not answer like the hub (no JSON); check HF_ENDPOINT`, {
      cause,
    });
  }
  const parsed = infoSchema.safeParse(json);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw new OrreryError(
      'model',
      `${settings.endpoint} does not answer like the hub (${path.join('.')}: ${message}); check HF_ENDPOINT`,
    );
  }
  const { sha, siblings, gated, cardData } = parsed.data;
  if (isCommit(revision) && sha !== revision) {
    throw new OrreryError(
      'model',
      `${repo}: asked for commit ${revision}, the hub answers with ${sha}; nothing was fetched`,
    );
  }
  const licence = typeof cardData?.license_name === 'string' ? cardData.license_name : cardData?.license;
  return {
    repo,
    commit: sha,
    files: siblings.map(({ rfilename, size, blobId, lfs }) => {
      const bytes = lfs?.size ?? size;
      const sha256 = lfs?.sha256 ?? (lfs?.oid !== undefined && /^[0-9a-f]{64}$/.test(lfs.oid) ? lfs.oid : undefined);
      const blob = sha256 ?? (lfs ? undefined : blobId);
      return {
        name: checkedName(rfilename, repo),
        ...(bytes === undefined ? {} : { sizeBytes: bytes }),
        ...(blob === undefined ? {} : { blob }),
      };
    }),
    isGated: gated !== undefined && gated !== false,
    ...(typeof licence === 'string' ? { licence } : {}),
  };
}

async function limitedText(response: Response, url: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const part of response.body ?? []) {
      size += part.length;
      if (size > MAX_JSON_BYTES)
        throw new OrreryError('model', `${url}: more than ${MAX_JSON_BYTES} bytes of JSON; check HF_ENDPOINT`);
      parts.push(part);
    }
  } catch (cause) {
    if (cause instanceof OrreryError) throw cause;
    throw new TransientError(`the connection broke (${reasonOf(cause)})`, { cause });
  }
  return Buffer.concat(parts).toString('utf8');
}

/** A name from the network becomes a path: only plain ones pass. */
function checkedName(name: string, repo: string): string {
  const isOdd =
    /[\u0000-\u001f\\:*?"<>|]/.test(name) ||
    name.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (isOdd)
    throw new OrreryError(
      'model',
      `${repo}: the hub lists a file called ${JSON.stringify(name)}, need a plain relative path; nothing was fetched`,
    );
  return name;
}
