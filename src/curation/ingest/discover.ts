// Finds the videos of a job: a file, a folder, a glob, a list (JSON, CSV, text), or a data set that ingest/lerobot or
// ingest/mcap understands. Order is by name, so that a job is the same on every machine.
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { InputError, OrreryError } from '../../base/index.ts';
import type { VideoUnit } from '../pass/job.ts';

/** What was found. */
export type Discovered = {
  readonly videos: readonly VideoUnit[];
  /** Files that are plainly something else, by their names. */
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
};

const NOT_VIDEO =
  /\.(txt|md|json|jsonl|csv|tsv|parquet|npy|npz|pkl|pickle|yaml|yml|toml|xml|html?|css|js|ts|py|ipynb|sh|log|pdf|docx?|xlsx?|srt|vtt|ass|jpe?g|png|gif|bmp|tiff?|webp|heic|svg|mp3|wav|flac|aac|ogg|m4a|opus|zip|tar|gz|tgz|xz|zst|7z|safetensors|pt|pth|onnx|bin|db|sqlite|part|tmp|lock|ds_store|gitignore)$/i;

/** Finds videos below `input`. `out` may not lie inside it, nor the other way round. */
export function discover(input: string, out: string): Discovered {
  if (/[*?[{]/.test(input) && !existsSync(input)) return fromNames(globbed(input), out, globRoot(input));
  const path = resolve(input);
  const facts = statSync(path, { throwIfNoEntry: false });
  if (facts === undefined)
    throw new InputError('input', {
      got: input,
      need: 'an existing folder, file, list or glob',
      why: `looked at ${path}`,
    });
  if (facts.isDirectory()) {
    checkNesting(path, resolve(out));
    return fromNames(filesBelow(path), out, path);
  }
  if (/\.(json|jsonl|csv|txt)$/i.test(path)) return fromNames(listed(path), out, dirname(path));
  return fromNames([path], out, dirname(path));
}

/** Input and output must not contain each other: a second run would curate its own clips. */
export function checkNesting(input: string, out: string): void {
  const real = (p: string): string => {
    let at = p;
    const rest: string[] = [];
    while (!existsSync(at)) {
      rest.unshift(basename(at));
      at = dirname(at);
    }
    return join(realpathSync(at), ...rest);
  };
  const [a, b] = [real(input), real(out)];
  const inside = (x: string, y: string): boolean => x === y || x.startsWith(y.endsWith(sep) ? y : y + sep);
  if (inside(a, b) || inside(b, a))
    throw new InputError('out', {
      got: out,
      need: `a folder outside ${input}`,
      why: 'a second run would take its own clips as input',
    });
}

function fromNames(paths: readonly string[], out: string, root: string): Discovered {
  const videos: VideoUnit[] = [];
  const skipped: { name: string; reason: string }[] = [];
  const seen = new Set<string>();
  const inOut = resolve(out) + sep;
  for (const path of paths) {
    if (seen.has(path) || path.startsWith(inOut)) continue;
    seen.add(path);
    const below = relative(root, path);
    const name = below.startsWith('..') || isAbsolute(below) ? path : below.split(sep).join('/');
    if (NOT_VIDEO.test(path) || basename(path).startsWith('.'))
      skipped.push({ name, reason: 'not a video by its name' });
    else videos.push({ name, path, idPath: path });
  }
  return { videos, skipped };
}

/** All files below a folder, by name. Links to folders are not followed: they may form circles. */
function filesBelow(folder: string): string[] {
  const found: string[] = [];
  const walk = (at: string): void => {
    let entries: ReturnType<typeof readdirSync>;
    try {
      entries = readdirSync(at) as never;
    } catch (cause) {
      throw new OrreryError(
        'data',
        `${at}: cannot be listed (${(cause as NodeJS.ErrnoException).code}); check its permissions`,
        { cause },
      );
    }
    for (const name of [...(entries as unknown as string[])].sort()) {
      const path = join(at, name);
      const facts = statSync(path, { throwIfNoEntry: false });
      if (facts?.isDirectory() === true) {
        if (realpathSync(path) === join(realpathSync(at), name)) walk(path);
      } else found.push(path);
    }
  };
  walk(folder);
  return found;
}

/** Paths of a list file, relative to it. JSON: an array of strings or of {path}; CSV: the column `path` or `video`, else the first. */
function listed(file: string): string[] {
  const text = readFileSync(file, 'utf8');
  let names: unknown[];
  if (/\.json$/i.test(file)) {
    try {
      const value = JSON.parse(text) as unknown;
      names = Array.isArray(value) ? value : ((value as { videos?: unknown[] }).videos ?? []);
    } catch (cause) {
      throw new OrreryError('data', `${file}: not JSON (${(cause as Error).message}); need an array of paths`, {
        cause,
      });
    }
  } else {
    const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
    if (/\.jsonl$/i.test(file))
      names = lines.map((line, i) => {
        try {
          return JSON.parse(line) as unknown;
        } catch (cause) {
          throw new OrreryError('data', `${file} line ${i + 1}: not JSON (${(cause as Error).message})`, { cause });
        }
      });
    else if (/\.csv$/i.test(file)) {
      const rows = lines.map(csvCells);
      const head = rows[0]?.map((c) => c.toLowerCase()) ?? [];
      const at = ['path', 'video', 'video_path', 'file'].map((n) => head.indexOf(n)).find((i) => i >= 0);
      names = at === undefined ? rows.map((r) => r[0]!) : rows.slice(1).map((r) => r[at]);
    } else names = lines;
  }
  return names.map((entry, i) => {
    const name =
      typeof entry === 'string'
        ? entry
        : ((entry as { path?: unknown; video?: unknown } | null)?.path ?? (entry as { video?: unknown } | null)?.video);
    if (typeof name !== 'string' || name === '')
      throw new InputError(`${file}, entry ${i + 1}`, { got: JSON.stringify(entry), need: 'a path' });
    return isAbsolute(name) ? name : join(dirname(file), name);
  });
}

function csvCells(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map((m) =>
    (m[1] ?? m[2] ?? '').replaceAll('""', '"').trim(),
  );
}

/** Files that fit a glob with `*`, `**`, `?` and `{a,b}`. */
function globbed(pattern: string): string[] {
  const root = globRoot(pattern);
  const full = resolve(pattern);
  const source = full
    .slice(root.length)
    .replace(/[.+^$()|\\]/g, '\\$&')
    .replace(/\*\*\/?|\*|\?|\{[^}]*\}/g, (m) =>
      m === '**/'
        ? '(?:.*/)?'
        : m === '**'
          ? '.*'
          : m === '*'
            ? '[^/]*'
            : m === '?'
              ? '[^/]'
              : `(?:${m.slice(1, -1).split(',').join('|')})`,
    );
  const test = new RegExp(`^${source}$`);
  if (!existsSync(root))
    throw new InputError('input', {
      got: pattern,
      need: `a glob below an existing folder`,
      why: `${root} is not there`,
    });
  return filesBelow(root).filter((path) => test.test(path.slice(root.length)));
}

/** Deepest folder of a glob without wildcards. */
function globRoot(pattern: string): string {
  return resolve(pattern.slice(0, pattern.search(/[*?[{]/)).replace(/[^/]*$/, '') || '.');
}
