import { expect, it } from 'vitest';
import { renameFlags } from './aliases.ts';

it('renames foreign flags, says so, and leaves values and everything behind -- alone', () => {
  const notes: string[] = [];
  const args = ['generate', 'x', '--num_steps', '8', '--num_frames=33', '--', '--num_steps'];
  expect(renameFlags(args, (line) => notes.push(line))).toEqual([
    'generate',
    'x',
    '--steps',
    '8',
    '--frames=33',
    '--',
    '--num_steps',
  ]);
  expect(notes).toEqual(['--num_steps is called --steps here', '--num_frames is called --frames here']);
});
