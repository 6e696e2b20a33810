// `orrery models`: fetch, list, inspect, verify, convert, export and remove models.
import { Command } from 'commander';
import type { Session } from '../session.ts';
import { convertCommand, exportCommand } from './models-convert.ts';
import { getCommand, removeCommand } from './models-get.ts';
import { mergeCommand, unmergeCommand } from './models-merge.ts';
import { inspectCommand, listCommand, verifyCommand } from './models-show.ts';

export { findModels, type ModelReport } from './models-show.ts';

export function modelsCommand(session: Session): Command {
  const command = new Command('models')
    .description('models on this machine: fetch, look into, check, convert, merge, export, remove')
    .addHelpText('after', '\nExample:\n  orrery models inspect orrery-nano');
  const commands = [
    getCommand,
    listCommand,
    inspectCommand,
    verifyCommand,
    convertCommand,
    exportCommand,
    mergeCommand,
    unmergeCommand,
    removeCommand,
  ];
  for (const one of commands) command.addCommand(one(session));
  return command;
}
