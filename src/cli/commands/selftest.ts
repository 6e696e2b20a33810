// `orrery selftest FILES...`: reference cases against the networks of this version, one line per case.
import { Command } from 'commander';
import { notInThisVersion, type Session } from '../session.ts';

export function selftestCommand(_session: Session): Command {
  return new Command('selftest')
    .description('run reference cases; exit code 1 when one misses, 4 when one has no network here')
    .argument('<files...>', 'case files (safetensors)')
    .addHelpText('after', '\nExample:\n  orrery selftest test/fixtures/parity/haar.safetensors')
    .action(async () => {
      throw notInThisVersion('selftest', 'it comes with the reference networks');
    });
}
