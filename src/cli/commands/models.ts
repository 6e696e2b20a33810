// `orrery models list|inspect`: the model folders that are here, their checksums, and what lies in their files.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { OrreryError } from '../../base/index.ts';
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

export function modelsCommand(session: Session): Command {
  return new Command('models')
    .description('the models on this machine')
    .addHelpText('after', '\nExample:\n  orrery models inspect orrery-nano')
    .addCommand(listCommand(session))
    .addCommand(inspectCommand(session));
}

function listCommand(session: Session): Command {
  return new Command('list')
    .description('names, sizes and checksums of the models that are here')
    .addHelpText('after', '\nExample:\n  orrery models list')
    .action(async (_options: object, command: Command) => {
      const models = await findModels();
      if (globalsOf(command).json) {
        for (const model of models) session.print(JSON.stringify(model));
      } else {
        if (models.length === 0) session.note('no models; train one: orrery train recipes/orrery-tokenizer.json');
        const rows = models.map((m) => [
          m.name,
          m.kind,
          m.isWhole ? `${(m.parameters / 1e6).toPrecision(3)}M` : '-',
          m.isWhole ? bytes(m.sizeBytes) : '-',
          m.isWhole ? 'ok' : m.problem,
        ]);
        if (rows.length > 0) {
          for (const line of table([['name', 'kind', 'parameters', 'size', 'sha256'], ...rows])) session.print(line);
        }
      }
      if (models.some((m) => !m.isWhole)) session.exitWith(4);
    });
}

function inspectCommand(session: Session): Command {
  return new Command('inspect')
    .description('record and tensors of a model, or tensors of a safetensors file; reads no values')
    .argument('<model>', 'model name, model folder or .safetensors file')
    .addHelpText('after', '\nExample:\n  orrery models inspect orrery-tokenizer')
    .action(async (model: string, _options: object, command: Command) => {
      const { json } = globalsOf(command);
      const { openSafetensors } = await import('../../formats/index.ts');
      const print = (value: object, line: string): void => session.print(json ? JSON.stringify(value) : line);
      const showFile = (path: string): void => {
        using file = openSafetensors(path);
        for (const [name, { dtype, shape }] of file.tensors) {
          print({ name, dtype, shape }, `${name}  ${dtype}  [${shape.join(', ')}]`);
        }
      };
      if (model.endsWith('.safetensors')) return showFile(model);
      const { openModelFolder } = await import('../../hub/index.ts');
      const { dir, record } = openModelFolder(model);
      const { name, kind, parameters, files } = record;
      print({ ...record, dir }, `${name} · ${kind} · ${parameters.toLocaleString('en')} parameters · ${dir}`);
      for (const [file, { sizeBytes, sha256 }] of Object.entries(files)) {
        if (!json) session.print(`${file} · ${bytes(sizeBytes)} · sha256 ${sha256} ok`);
        if (file.endsWith('.safetensors')) showFile(join(dir, file));
      }
    });
}
