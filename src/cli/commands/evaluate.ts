// `orrery evaluate`: scores videos of any origin, and models on benchmarks with ground truth.
import { Command } from 'commander';
import { wholeOption } from '../options.ts';
import { openProgress, type Progress } from '../progress.ts';
import { globalsOf, type Session, table } from '../session.ts';

export function evaluateCommand(session: Session): Command {
  return new Command('evaluate')
    .description('score videos or models: fidelity, time, geometry, physics')
    .addHelpText('after', '\nExamples:\n  orrery evaluate videos generated/ real/ --metrics psnr,ssim -o scores')
    .addCommand(videosCommand(session));
}

type VideosOptions = {
  readonly metrics?: string;
  readonly skip?: number;
  readonly out?: string;
  readonly threads?: number;
};

function videosCommand(session: Session): Command {
  return new Command('videos')
    .description('compare generated videos with references of the same names')
    .argument('<generated>', 'video file or folder')
    .argument('<reference>', 'video file or folder')
    .option(
      '--metrics <list>',
      'psnr, psnr-video, ssim, ssim-gaussian, ms-ssim, temporal, flow, sampson, orrery-fd (default psnr,ssim,temporal)',
    )
    .addOption(
      wholeOption('--skip <n>', 'frames at the start that do not count, such as given ones (default 0)', 0, 100_000),
    )
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .option('-o, --out <dir>', 'folder for scores.json, clips.parquet, report.html and summary.png')
    .addHelpText('after', '\nExample:\n  orrery evaluate videos generated/ real/ --metrics psnr,ssim,flow -o scores')
    .action(async (generated: string, reference: string, options: VideosOptions, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { evaluateVideos, scoresOf, summarise } = await import('../../evaluation/index.ts');
      const { metrics, ...rest } = options;
      let bar: Progress | undefined;
      const events = evaluateVideos(generated, reference, {
        ...rest,
        ...(metrics === undefined ? {} : { metrics: metrics.split(',').map((m) => m.trim()) }),
        signal: session.signal,
      });
      for await (const event of events) {
        switch (event.type) {
          case 'started':
            bar = openProgress('clips', event.clips, { quiet });
            if (event.alone.length > 0)
              session.note(
                `${event.alone.length} files have no partner and are left out: ${event.alone.slice(0, 5).join(', ')}`,
              );
            break;
          case 'clip':
            bar?.update(event.index, { text: event.row.clip });
            for (const note of event.row.notes ?? []) session.note(`${event.row.clip}: ${note}`);
            break;
          case 'completed': {
            bar?.clear();
            const { results, files } = event;
            if (json) {
              session.print(JSON.stringify({ ...scoresOf(results), files: files ?? null }));
              break;
            }
            const rows = results.metrics.map((m) => {
              const s = summarise(results.rows, m.name);
              return [
                m.label,
                s.mean === null ? 'no value' : s.mean.toFixed(m.digits),
                m.unit,
                `${s.n} of ${s.n + s.undefinedCount} clips`,
              ];
            });
            const facts = (results.facts ?? []).map((f) => [
              f.name,
              typeof f.value === 'number' ? String(Number(f.value.toPrecision(5))) : (f.value ?? '-'),
              f.unit ?? '',
              f.note ?? '',
            ]);
            for (const line of table([['metric', 'mean', 'unit', 'of'], ...rows, ...facts])) session.print(line);
            if (files !== undefined) session.print(files.report);
            break;
          }
        }
      }
    });
}
