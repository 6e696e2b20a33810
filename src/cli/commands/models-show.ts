// `orrery models list|inspect|verify`: what is here, what lies in a file, and whether it is what it says.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { OrreryError } from '../../base/index.ts';
import type { TensorSource } from '../../formats/index.ts';
import type { Device } from '../../runtime/index.ts';
import { deviceOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { bytes, globalsOf, type Session, table } from '../session.ts';

export type ModelReport = {
  readonly name: string;
  readonly kind: string;
  readonly parameters: number;
  readonly sizeBytes: number;
  readonly dir: string;
  /** All files are there and unchanged. */
  readonly isWhole: boolean;
  readonly problem: string;
};

/** Looks at every shipped model folder and checks its files. */
export async function findModels(): Promise<readonly ModelReport[]> {
  const { openModelFolder, shippedModels } = await import('../../hub/index.ts');
  const root = shippedModels();
  if (!existsSync(root)) return [];
  const names = readdirSync(root).filter((name) => existsSync(join(root, name, 'model.json')));
  return names.sort().map((name) => {
    try {
      const { dir, record } = openModelFolder(name);
      const sizeBytes = Object.values(record.files ?? {}).reduce((sum, file) => sum + file.sizeBytes, 0);
      const { kind, parameters } = record;
      return { name, kind, parameters, sizeBytes, dir, isWhole: true, problem: '' };
    } catch (error) {
      if (!(error instanceof OrreryError)) throw error;
      const unknown = { kind: 'unknown', parameters: 0, sizeBytes: 0 };
      return { name, ...unknown, dir: join(root, name), isWhole: false, problem: error.message };
    }
  });
}

export function listCommand(session: Session): Command {
  return new Command('list')
    .description('shipped models with their checksums, and models of the hub in the cache')
    .addHelpText('after', '\nExample:\n  orrery models list')
    .action(async (_options: object, command: Command) => {
      const { cachedModels, hubSettings } = await import('../../hub/index.ts');
      const models = await findModels();
      const cached = cachedModels(hubSettings().cacheDir);
      if (globalsOf(command).json) {
        for (const model of models) session.print(JSON.stringify({ ...model, from: 'package' }));
        for (const { repo, dir, sizeBytes, commits, unfinished } of cached) {
          session.print(
            JSON.stringify({
              name: repo,
              kind: 'hub',
              parameters: 0,
              sizeBytes,
              dir,
              isWhole: unfinished === 0,
              problem: '',
              commits,
              unfinished,
              from: 'hub',
            }),
          );
        }
      } else {
        if (models.length + cached.length === 0)
          session.note('no models; train one: orrery train recipes/orrery-tokenizer.json');
        const rows = models.map((m) => [
          m.name,
          m.kind,
          m.isWhole ? `${(m.parameters / 1e6).toPrecision(3)}M` : '-',
          m.isWhole ? bytes(m.sizeBytes) : '-',
          m.isWhole ? 'ok' : m.problem,
        ]);
        const fetched = cached.map((m) => [
          m.repo,
          'hub',
          '-',
          bytes(m.sizeBytes),
          m.unfinished > 0 ? `${m.unfinished} files unfinished` : `commit ${m.commits[0]?.slice(0, 12) ?? 'none'}`,
        ]);
        const all = [...rows, ...fetched];
        if (all.length > 0)
          for (const line of table([['name', 'kind', 'parameters', 'size', 'state'], ...all])) session.print(line);
      }
      if (models.some((m) => !m.isWhole)) session.exitWith(4);
    });
}

export function inspectCommand(session: Session): Command {
  return new Command('inspect')
    .description('record and tensors of a model or checkpoint file; runs nothing and reads no values')
    .argument('<model>', 'model name, owner/name of a fetched model, folder, .safetensors, .pt or .jit file, or index')
    .addHelpText('after', '\nExample:\n  orrery models inspect orrery-tokenizer')
    .action(async (model: string, _options: object, command: Command) => {
      const { json } = globalsOf(command);
      const print = (value: object, line: string): void => session.print(json ? JSON.stringify(value) : line);
      const { locateModel } = await import('../../hub/index.ts');
      const path = locateModel(model);
      if (statSync(path).isFile()) await showFile(path, print);
      else if (existsSync(join(path, 'model.json'))) await showFolder(path, print, json);
      else await showCheckpoint(path, print);
    });
}

type Print = (value: object, line: string) => void;

async function showFile(path: string, print: Print): Promise<void> {
  const { openTensors } = await import('../../formats/index.ts');
  using file = openTensors(path);
  showTensors(file, print);
}

function showTensors(file: TensorSource & { readonly code?: readonly string[] }, print: Print): void {
  for (const [name, { dtype, shape }] of file.tensors)
    print({ name, dtype, shape }, `${name}  ${dtype}  [${shape.join(', ')}]`);
  for (const { key, name } of file.opaque) print({ name: key, opaque: name }, `${key}  not a tensor: ${name}`);
  for (const name of file.code ?? [])
    print(
      { code: name },
      `warning: the file names ${name}, which would run code; nothing was run, and it will not be loaded`,
    );
}

async function showFolder(path: string, print: Print, json: boolean): Promise<void> {
  const { openModelFolder } = await import('../../hub/index.ts');
  const { dir, record } = openModelFolder(path);
  const { name, kind, parameters, files } = record;
  print({ ...record, dir }, `${name} · ${kind} · ${parameters.toLocaleString('en')} parameters · ${dir}`);
  for (const [file, { sizeBytes, sha256 }] of Object.entries(files)) {
    if (!json) print({}, `${file} · ${bytes(sizeBytes)} · sha256 ${sha256} ok`);
    if (file.endsWith('.safetensors')) await showFile(join(dir, file), print);
  }
}

/** A folder of some other layout: what it is taken for, and how it fits. */
async function showCheckpoint(path: string, print: Print): Promise<void> {
  const { openCheckpoint } = await import('../../checkpoints/index.ts');
  const { snapshotFiles } = await import('../../hub/index.ts');
  let checkpoint: ReturnType<typeof openCheckpoint>;
  try {
    checkpoint = openCheckpoint(path);
  } catch (error) {
    const isSnapshot = /[/\\]snapshots[/\\][0-9a-f]{40}$/.test(path);
    if (!(error instanceof OrreryError) || !isSnapshot) throw error;
    // A fetched model may be several: its files are what can be shown.
    for (const { name, sizeBytes, isMissing } of snapshotFiles(path))
      print({ file: name, sizeBytes, isMissing }, `${name}  ${isMissing ? 'missing' : bytes(sizeBytes)}`);
    print({ note: error.message }, `note: ${error.message}`);
    return;
  }
  using open = checkpoint;
  const { network, layout, misfit, expected, ignored, notes } = open;
  const problems = misfit.missing.length + misfit.wrong.length + misfit.extra.length;
  const fit =
    problems === 0
      ? 'all keys fit'
      : `${misfit.missing.length} missing, ${misfit.wrong.length} of another shape, ${misfit.extra.length} unknown`;
  const parameters = expected.reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0);
  print(
    { family: network.family, layout, parameters, config: network.config, misfit, ignored: ignored.length, notes },
    `${network.family} · ${layout} layout · ${parameters.toLocaleString('en')} parameters · ${fit}`,
  );
  for (const note of notes) print({ note }, `note: ${note}`);
  for (const { key, shape } of misfit.missing) print({ missing: key, shape }, `missing  ${key}  [${shape.join(', ')}]`);
  for (const { key, found, need } of misfit.wrong)
    print({ wrong: key, found, need }, `shape  ${key}  [${found.join(', ')}], need [${need.join(', ')}]`);
  for (const { key, shape } of misfit.extra) print({ unknown: key, shape }, `unknown  ${key}  [${shape.join(', ')}]`);
  for (const [name, { dtype, shape }] of open.tensors)
    print({ name, dtype, shape }, `${name}  ${dtype}  [${shape.join(', ')}]`);
}

export function verifyCommand(session: Session): Command {
  return new Command('verify')
    .description('check sums, keys, shapes, values and the tokenizer of a model')
    .argument('<model>', 'model name, owner/name of a fetched model, folder or file')
    .option('--selftest', 'then run the reference cases of its family on this device')
    .addOption(deviceOption())
    .addHelpText('after', '\nExample:\n  orrery models verify orrery-nano')
    .action(async (model: string, flags: { selftest?: boolean; device?: Device }, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { locateModel } = await import('../../hub/index.ts');
      const { verifyModel } = await import('../../checkpoints/index.ts');
      const bar = openProgress('verify %', 100, { quiet });
      let family = '';
      for await (const event of verifyModel(locateModel(model), session.signal)) {
        if (event.type === 'progress')
          bar.update(event.total === 0 ? 100 : Math.floor((event.done / event.total) * 100), { text: event.item });
        else if (event.type === 'opened') family = event.family;
        else {
          bar.clear();
          session.print(
            json
              ? JSON.stringify({ model, check: event.check, detail: event.detail, ok: true })
              : `ok  ${event.check}: ${event.detail}`,
          );
        }
      }
      bar.clear();
      if (flags.selftest === true) await runCases(session, family, { device: flags.device ?? 'cpu', json, model });
    });
}

/** The network code on this device against reference values: a sound file is not yet a sound result. */
async function runCases(
  session: Session,
  family: string,
  { device, json, model }: { readonly device: Device; readonly json: boolean; readonly model: string },
): Promise<void> {
  const { selftest, shippedCases } = await import('../../evaluation/selftest/index.ts');
  const { openRuntime } = await import('../../runtime/index.ts');
  const files = shippedCases(family);
  if (files.length === 0) {
    session.note(`no reference cases for ${family || 'this model'}: they are for networks with a public reference`);
    return;
  }
  await using runtime = openRuntime({ device });
  let failed = 0;
  for (const file of files) {
    let worst = { share: 0, name: '', reason: '' };
    let count = 0;
    for await (const row of selftest([file], { runtime, signal: session.signal })) {
      if (row.status === 'unsupported' && row.output !== '*') continue;
      count++;
      const share =
        row.status === 'pass' ? (row.tolerance === 0 ? 0 : row.relL2 / row.tolerance) : Number.POSITIVE_INFINITY;
      if (share >= worst.share) worst = { share, name: row.output, reason: row.reason ?? '' };
    }
    const ok = count > 0 && Number.isFinite(worst.share);
    if (!ok) failed++;
    const name = file.split(/[/\\]/).at(-1)!.replace('.safetensors', '');
    const detail = ok
      ? `${name}, ${count} outputs, the worst at ${(worst.share * 100).toFixed(0)} % of its tolerance`
      : `${name}: ${worst.name} ${worst.reason}`;
    session.print(
      json
        ? JSON.stringify({ model, check: 'reference', device, detail, ok })
        : `${ok ? 'ok' : 'FAIL'}  reference on ${device}: ${detail}`,
    );
  }
  if (failed > 0) session.exitWith(1);
}
