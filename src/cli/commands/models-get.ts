// `orrery models get|remove`: models of the hub into its cache and out of it.
import { Command, Option } from 'commander';
import { OrreryError } from '../../base/index.ts';
import { openProgress } from '../progress.ts';
import { bytes, globalsOf, type Session } from '../session.ts';

type GetFlags = { readonly revision?: string; readonly include?: readonly string[]; readonly offline?: boolean };

export function getCommand(session: Session): Command {
  return new Command('get')
    .description('fetch a model of the hub into its cache; continues what was interrupted')
    .argument('<model>', 'owner/name, such as nvidia/Cosmos-Tokenize1-CV8x8x8-720p')
    .option('--revision <name>', 'branch, tag or commit (default main)')
    .addOption(new Option('--include <pattern...>', 'only files that match, such as "*.safetensors"'))
    .option('--offline', 'use only what is in the cache (HF_HUB_OFFLINE=1 does the same)')
    .addHelpText(
      'after',
      '\nHF_TOKEN, HF_ENDPOINT, HF_HOME and HF_HUB_CACHE are used as elsewhere.\n\nExample:\n  orrery models get nvidia/Cosmos-Tokenize1-CV8x8x8-720p --include "*.jit"',
    )
    .action(async (repo: string, { revision, include, offline = false }: GetFlags, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { getModel, hubSettings } = await import('../../hub/index.ts');
      const found = hubSettings();
      const settings = offline ? { ...found, isOffline: true } : found;
      session.resumeWith(`continue with: orrery models get ${repo}`);
      let bar: ReturnType<typeof openProgress> | undefined;
      const limits = { ...(revision === undefined ? {} : { revision }), ...(include === undefined ? {} : { include }) };
      for await (const event of getModel(repo, { ...limits, settings, signal: session.signal })) {
        if (event.type === 'progress') {
          bar ??= openProgress('fetch', 100, { quiet });
          bar.update(event.allBytes === 0 ? 100 : Math.floor((event.allDoneBytes / event.allBytes) * 100), {
            text: `${bytes(event.allDoneBytes)} of ${bytes(event.allBytes)} · ${event.file}`,
          });
          continue;
        }
        bar?.clear();
        if (json && event.type !== 'completed') continue;
        if (event.type === 'resolved' && !quiet) {
          session.note(
            `${repo} at ${event.commit} · ${event.files} files, ${bytes(event.totalBytes)}, ${bytes(event.missingBytes)} to fetch${event.licence === undefined ? '' : ` · licence ${event.licence}`}`,
          );
        } else if (event.type === 'retry' && !quiet)
          session.note(`${event.file}: ${event.reason}; trying again in ${(event.waitMs / 1000).toFixed(1)} s`);
        else if (event.type === 'waiting' && !quiet) session.note(`${event.file}: another process fetches it; waiting`);
        else if (event.type === 'completed') session.print(json ? JSON.stringify(event) : event.dir);
      }
    });
}

export function removeCommand(session: Session): Command {
  return new Command('remove')
    .description('remove a fetched model from the cache of the hub')
    .argument('<model>', 'owner/name')
    .addHelpText('after', '\nExample:\n  orrery models remove nvidia/Cosmos-Tokenize1-CV8x8x8-720p')
    .action(async (model: string, _options: object, command: Command) => {
      const { hubSettings, isRepoName, removeCached } = await import('../../hub/index.ts');
      if (!isRepoName(model)) {
        throw new OrreryError(
          'usage',
          `${model} is not owner/name: shipped models belong to the package, and folders of your own are yours to delete`,
        );
      }
      const freed = removeCached(hubSettings().cacheDir, model);
      session.print(
        globalsOf(command).json
          ? JSON.stringify({ removed: model, freedBytes: freed })
          : `removed ${model}, ${bytes(freed)} freed`,
      );
    });
}
