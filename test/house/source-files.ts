// Reads the source tree for the house rules: file lists, import statements, comments taken out. Not a parser: the tests
// need paths and names only.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** All files below a folder of the repository, as paths relative to the root with forward slashes. */
export function filesBelow(folder: string, ending: string): readonly string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

/** Sources of the product: `src/**` without unit tests. */
export const SOURCES = filesBelow('src', '.ts').filter((path) => !path.endsWith('.test.ts'));

export function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** The code of a file without comments. */
export function codeOf(path: string): string {
  return read(path)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|[^:'"`\\])\/\/.*$/gm, '$1');
}

export type Import = {
  /** Module name as written. */
  readonly name: string;
  /** Path from the root when the import is relative. */
  readonly path: string | undefined;
  /** Erased by the compiler: `import type`, `export type`. */
  readonly isType: boolean;
  /** `import(...)` at run time. */
  readonly isLazy: boolean;
};

const STATIC = /^\s*(?:import|export)\s+(type\s+)?(?:[\w$*{}\s,]*?\sfrom\s*)?['"]([^'"]+)['"]/gm;
const LAZY = /\bimport\(\s*['"]([^'"]+)['"]\s*\)/g;

export function importsOf(path: string): readonly Import[] {
  const code = codeOf(path);
  const at = (name: string): string | undefined =>
    name.startsWith('.') ? posix.normalize(posix.join(posix.dirname(path), name)) : undefined;
  const fixed = [...code.matchAll(STATIC)].map(([, type, name]) => ({
    name: name!,
    path: at(name!),
    isType: type !== undefined,
    isLazy: false,
  }));
  const lazy = [...code.matchAll(LAZY)].map(([, name]) => ({
    name: name!,
    path: at(name!),
    isType: false,
    isLazy: true,
  }));
  return [...fixed, ...lazy];
}

/** The folder of `src/` a path lies in: `src/nets/orrery/nano.ts` → `nets`; the package's own door → `.`. */
export function folderOf(path: string): string {
  const parts = path.split('/');
  return parts.length > 2 ? parts[1]! : '.';
}
