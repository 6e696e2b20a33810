// `orrery selftest FILES...`: reference cases against the networks of this version, one line per case.
import { Command } from 'commander';
import { globalsOf, type Session } from '../session.ts';

/** The verdict on a whole case: its worst output. */
type Verdict = {
  readonly case: string;
  readonly relL2: number;
  readonly tolerance: number;
  readonly status: 'pass' | 'fail' | 'unsupported';
  readonly reason?: string;
};

export function selftestCommand(session: Session): Command {
  return new Command('selftest')
    .description('run reference cases; exit code 1 when one misses, 4 when one has no network here')
    .argument('<files...>', 'case files (safetensors)')
    .option('--outputs', 'one line per output instead of one per case')
    .addHelpText('after', '\nExample:\n  orrery selftest cases/dit_small.safetensors')
    .action(async (files: readonly string[], options: { outputs?: boolean }, command: Command) => {
      const { json } = globalsOf(command);
      const { selftest } = await import('../../evaluation/selftest/index.ts');
      const counts = { pass: 0, fail: 0, unsupported: 0 };
      const say = (v: Verdict): void => {
        counts[v.status]++;
        session.print(json ? JSON.stringify(v) : lineOf(v));
      };
      for (const file of files) {
        const rows: Verdict[] = [];
        for await (const row of selftest([file], { signal: session.signal })) {
          if (options.outputs === true) say({ ...row, case: `${row.case} ${row.output}` });
          // Inner values that are not computed do not decide about a case whose results are all there.
          else if (row.status !== 'unsupported' || row.output === '*') rows.push(row);
        }
        const worst = rows.reduce<Verdict | undefined>((a, b) => (a === undefined || isWorse(b, a) ? b : a), undefined);
        if (worst !== undefined) say(worst);
        else if (options.outputs !== true) {
          say({
            case: file,
            relL2: Number.NaN,
            tolerance: 0,
            status: 'unsupported',
            reason: 'the file stores no output',
          });
        }
      }
      session.note(`${counts.pass} pass, ${counts.fail} FAIL, ${counts.unsupported} unsupported`);
      if (counts.fail > 0) session.exitWith(1);
      else if (counts.unsupported > 0) session.exitWith(4);
    });
}

const RANK = { pass: 0, unsupported: 1, fail: 2 } as const;

function isWorse(a: Verdict, b: Verdict): boolean {
  if (a.status !== b.status) return RANK[a.status] > RANK[b.status];
  return a.relL2 * b.tolerance > b.relL2 * a.tolerance;
}

function lineOf(v: Verdict): string {
  const number = (x: number): string => (Number.isNaN(x) ? '-' : x.toExponential(2));
  const status = v.status === 'fail' ? 'FAIL' : v.status;
  const reason = v.reason === undefined ? '' : `  ${v.reason}`;
  return `${v.case}  ${number(v.relL2)}  ${number(v.status === 'unsupported' ? Number.NaN : v.tolerance)}  ${status}${reason}`;
}
