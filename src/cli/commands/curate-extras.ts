// The parts of curation as commands: shots, inspect, dedup, shard, worker, report.
import { Command } from 'commander';
import { numberOption, wholeOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { globalsOf, type Session } from '../session.ts';

export function curateExtras(session: Session): readonly Command[] {
  return [shotsCommand(session), reportCommand(session)];
}

function shotsCommand(session: Session): Command {
  return new Command('shots')
    .description('find the cuts, dissolves, fades and wipes of a video')
    .argument('<video>', 'video file')
    .option('--model <dir>', 'another shot detector')
    .addOption(numberOption('--threshold <p>', 'smallest score (default: the detector’s own)', 0.01, 0.99))
    .addOption(wholeOption('--threads <n>', 'decoder threads (default 1)', 1, 64))
    .addHelpText('after', '\nExample:\n  orrery curate shots film.mp4 --json')
    .action(
      async (video: string, options: { model?: string; threshold?: number; threads?: number }, command: Command) => {
        const { json, quiet } = globalsOf(command);
        const { findShots } = await import('../../curation/index.ts');
        let bar: ReturnType<typeof openProgress> | undefined;
        const shots = await findShots(video, {
          ...options,
          signal: session.signal,
          onProgress: (done, total) => {
            bar ??= openProgress('frames', Math.max(1, total), { quiet });
            bar.update(Math.min(done, total));
          },
        });
        bar?.clear();
        if (json) {
          const transitions = shots.transitions.map((t) => ({ ...t, score: Number(t.score.toFixed(4)) }));
          session.print(JSON.stringify({ video: shots.video, fps: shots.fps, frames: shots.frames, transitions }));
          return;
        }
        for (const { start, end, kind, score } of shots.transitions) {
          const range = start === end ? `${start}` : `${start}–${end}`;
          session.print(`${range}  ${(start / shots.fps).toFixed(2)} s  ${kind}  ${score.toFixed(2)}`);
        }
        if (!quiet) session.note(`${shots.transitions.length} transitions in ${shots.frames} frames`);
      },
    );
}

function reportCommand(session: Session): Command {
  return new Command('report')
    .description('write the HTML report of a curated folder again, finished or not')
    .argument('<out>', 'folder of a curation job')
    .addHelpText('after', '\nExample:\n  orrery curate report out')
    .action(async (out: string, _options: object, command: Command) => {
      const { json } = globalsOf(command);
      const { readJob, writeReport } = await import('../../curation/index.ts');
      const facts = readJob(out);
      const report = writeReport(out, facts);
      if (json)
        session.print(
          JSON.stringify({
            report,
            videos: facts.videos.size,
            curated: facts.results.length,
            failed: facts.dead.length,
          }),
        );
      else session.print(report);
    });
}
