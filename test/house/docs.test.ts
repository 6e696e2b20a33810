// What the documents say is true of the repository: commands exist, links lead somewhere, every door is exported and
// every dependency has its reason.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { createProgram } from '../../src/cli/index.ts';
import { filesBelow, ROOT, read } from './source-files.ts';

type Package = {
  readonly exports: Readonly<Record<string, string>>;
  readonly bin: Readonly<Record<string, string>>;
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};

const PACKAGE = JSON.parse(read('package.json')) as Package;
const DOCUMENTS = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...filesBelow('docs', '.md'),
  ...(existsSync(join(ROOT, 'models')) ? filesBelow('models', '.md') : []),
];
const FOLDERS = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && readdirSync(join(ROOT, 'src', entry.name)).length > 0)
  .map((entry) => entry.name);

/** Lines of code blocks and inline code, without prompts and continuation signs. */
function commandsOf(document: string): readonly string[] {
  const text = read(document);
  const blocks = [...text.matchAll(/```(?:sh|bash|console)\n([\s\S]*?)```/g)].flatMap(([, code]) => code!.split('\n'));
  const inline = [...text.replace(/```[\s\S]*?```/g, '').matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);
  return [...blocks, ...inline].map((line) => line.replace(/^\$ /, '').trim());
}

describe('documents', () => {
  it('exist', () => {
    for (const name of ['README.md', 'CHANGELOG.md', 'docs/dependencies.md', 'docs/contributing.md']) {
      expect(existsSync(join(ROOT, name)), name).toBe(true);
    }
  });

  it('name npm scripts that exist', () => {
    const wrong = DOCUMENTS.flatMap((document) =>
      commandsOf(document).flatMap((line) =>
        [...line.matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g)]
          .map(([, script, short]) => script ?? short!)
          .filter((script) => !(script in PACKAGE.scripts))
          .map((script) => `${document}: npm run ${script}`),
      ),
    );
    expect(wrong).toEqual([]);
  });

  it('name orrery commands and flags that exist', async () => {
    const program = createProgram();
    const wrong: string[] = [];
    for (const document of DOCUMENTS) {
      for (const line of commandsOf(document)) {
        const match = /^(?:npx )?orrery ((?:[a-z][\w-]*)(?: .*)?)$/.exec(line);
        if (match === null) continue;
        const words = match[1]!.split(/\s+/);
        let command: Command | undefined = program.commands.find((one) => one.name() === words[0]);
        if (command === undefined) {
          wrong.push(`${document}: orrery ${words[0]}`);
          continue;
        }
        const path = [command];
        for (const word of words.slice(1)) {
          const next: Command | undefined = command.commands.find((one) => one.name() === word);
          if (next === undefined) break;
          command = next;
          path.push(next);
        }
        const known = new Set([program, ...path].flatMap((one) => one.options.flatMap((o) => [o.long, o.short])));
        for (const flag of words.filter((word) => /^--?[a-z]/.test(word))) {
          if (!known.has(flag.split('=')[0]!) && flag !== '--help')
            wrong.push(`${document}: orrery ${words[0]} ${flag}`);
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('link to files that exist', () => {
    const wrong = DOCUMENTS.flatMap((document) =>
      [...read(document).matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target]) => target!)
        .filter((target) => !/^(https?:|mailto:|#)/.test(target))
        .filter((target) => !existsSync(join(ROOT, dirname(document), decodeURI(target.split('#')[0]!))))
        .map((target) => `${document} -> ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('give every dependency its reason', () => {
    const reasons = read('docs/dependencies.md');
    const all = { ...PACKAGE.dependencies, ...PACKAGE.optionalDependencies, ...PACKAGE.devDependencies };
    expect(Object.keys(all).filter((name) => !reasons.includes(`\`${name}\``))).toEqual([]);
  });

  it('hold no address of a private registry in the lock file', () => {
    const hosts = [...read('package-lock.json').matchAll(/"resolved":\s*"https?:\/\/([^/"]+)/g)].map(
      ([, host]) => host!,
    );
    expect([...new Set(hosts)].filter((host) => host !== 'registry.npmjs.org')).toEqual([]);
  });
});

describe('doors', () => {
  it('every folder of src has a hand-written list of its public names', () => {
    expect(FOLDERS.filter((name) => !existsSync(join(ROOT, 'src', name, 'index.ts')))).toEqual([]);
  });

  it('the export map names exactly the folders of the library', () => {
    const folders = FOLDERS.filter((name) => name !== 'cli').map((name) => `./${name}`);
    const own = existsSync(join(ROOT, 'src/index.ts')) ? ['.'] : [];
    expect(Object.keys(PACKAGE.exports).sort()).toEqual([...own, ...folders].sort());
    for (const [door, target] of Object.entries(PACKAGE.exports)) {
      expect(target).toBe(door === '.' ? './dist/src/index.js' : `./dist/src/${door.slice(2)}/index.js`);
    }
  });

  it('the command is built and runnable', () => {
    const target = join(ROOT, PACKAGE.bin['orrery']!);
    expect(existsSync(target), 'run npm run build first').toBe(true);
    expect(statSync(target).size).toBeGreaterThan(0);
  });
});
