// Imports go one way: a folder of src/ imports from lower layers and from itself only. Also here: what may not appear in
// certain folders (Node built-ins in the pure ones, unseeded randomness anywhere).
import { builtinModules } from 'node:module';
import { describe, expect, it } from 'vitest';
import { codeOf, folderOf, importsOf, read, SOURCES } from './source-files.ts';

const LAYER: Readonly<Record<string, number>> = {
  base: 0,
  graph: 1,
  formats: 1,
  runtime: 2,
  media: 2,
  hub: 2,
  messaging: 2,
  nets: 3,
  sampling: 3,
  motion: 3,
  worlds: 4,
  checkpoints: 4,
  training: 4,
  curation: 4,
  guardrail: 4,
  simulation: 4,
  evaluation: 4,
  serving: 5,
  cli: 6,
  '.': 7,
};

/** Folders of one layer that may use each other's index.ts, each with the reason. */
const ALLOWED: Readonly<Record<string, string>> = {
  'worlds -> checkpoints': 'pipelines run public checkpoints as they are published',
  'training -> simulation': 'trainers read the data sets that the simulator writes',
  'training -> worlds': 'held-out scores and exported models go through the same encode and decode as generation',
  'training -> checkpoints': 'post-training starts from public checkpoints in any layout',
  'training -> evaluation': 'model cards state the baselines and metrics of the benchmarks',
  'curation -> training': 'the shot detector is trained by the trainer',
  'curation -> worlds': 'clip embeddings come from the encoder of the shipped tokenizer',
  'guardrail -> training': 'the prompt classifier and frame heads are trained by the one trainer',
  'evaluation -> simulation': 'scores compare with ground truth of simulated scenes',
  'evaluation -> worlds': 'a benchmark runs the model it scores',
};

/** Folders that only build graphs and numbers: they run in Node, in a browser and in a test alike. */
const PURE = ['base', 'graph', 'nets', 'sampling'];
const NEVER_BELOW: Readonly<Record<string, readonly string[]>> = {
  nets: ['runtime', 'media', 'hub'],
  sampling: ['runtime', 'media', 'hub'],
};
const BUILTINS = new Set(builtinModules.flatMap((name) => [name, `node:${name}`]));

type Edge = { readonly file: string; readonly from: string; readonly to: string; readonly target: string };

const edges: readonly Edge[] = SOURCES.flatMap((file) =>
  importsOf(file)
    .filter((one) => one.path !== undefined)
    .map((one) => ({ file, from: folderOf(file), to: folderOf(one.path!), target: one.path! })),
);

describe('imports', () => {
  it('finds the sources and their imports', () => {
    expect(SOURCES.length).toBeGreaterThan(50);
    expect(edges.length).toBeGreaterThan(100);
  });

  it('knows the layer of every folder of src', () => {
    const unknown = [...new Set(SOURCES.map(folderOf))].filter((folder) => !(folder in LAYER));
    expect(unknown, 'folders without a layer; add them to the table above and to docs').toEqual([]);
  });

  it('go from a higher layer to a lower one', () => {
    const wrong = edges.filter(({ from, to }) => from !== to && LAYER[from]! <= LAYER[to]!);
    const refused = wrong.filter(
      ({ from, to, target }) => !(`${from} -> ${to}` in ALLOWED && target === `src/${to}/index.ts`),
    );
    expect(refused.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
  });

  it('never close a circle between folders', () => {
    const next = new Map<string, Set<string>>();
    for (const { from, to } of edges) {
      if (from !== to) next.set(from, (next.get(from) ?? new Set()).add(to));
    }
    const circles: string[] = [];
    const walk = (folder: string, trail: readonly string[]): void => {
      if (trail.includes(folder)) {
        circles.push([...trail.slice(trail.indexOf(folder)), folder].join(' -> '));
        return;
      }
      for (const to of next.get(folder) ?? []) walk(to, [...trail, folder]);
    };
    for (const folder of next.keys()) walk(folder, []);
    expect(circles).toEqual([]);
  });

  it('of nets and sampling stay clear of sessions, media and files', () => {
    const wrong = edges.filter(({ from, to }) => NEVER_BELOW[from]?.includes(to) === true);
    expect(wrong.map(({ file, target }) => `${file} imports ${target}`)).toEqual([]);
  });

  it('of the pure folders name no Node built-in', () => {
    const wrong = SOURCES.filter((file) => PURE.includes(folderOf(file)) && !file.endsWith('.node.ts')).flatMap(
      (file) =>
        importsOf(file)
          .filter((one) => !one.isType && BUILTINS.has(one.name))
          .map((one) => `${file} imports ${one.name}`),
    );
    expect(wrong).toEqual([]);
  });

  it('name existing files with their ending', () => {
    const known = new Set(SOURCES);
    const wrong = edges.filter(({ target }) => !known.has(target)).map(({ file, target }) => `${file}: ${target}`);
    expect(wrong).toEqual([]);
  });
});

describe('sources', () => {
  it('draw every random number from a seeded stream', () => {
    expect(SOURCES.filter((file) => /\bMath\.random\b/.test(codeOf(file)))).toEqual([]);
  });

  it('export names, never a default', () => {
    expect(SOURCES.filter((file) => /^\s*export\s+default\b/m.test(codeOf(file)))).toEqual([]);
  });

  it('print nothing outside the command line', () => {
    const wrong = SOURCES.filter((file) => folderOf(file) !== 'cli' && /\bconsole\.\w+\(/.test(codeOf(file)));
    expect(wrong).toEqual([]);
  });

  it('open with a comment that says what the file is', () => {
    const wrong = SOURCES.filter((file) => !/^(#!.*\n)?\s*(\/\/|\/\*)/.test(read(file)));
    expect(wrong).toEqual([]);
  });
});
