// The parts of curation as commands: shots, inspect, dedup, shard, worker, report.
import { Command, Option } from 'commander';
import { InputError } from '../../base/index.ts';
import type { CurateWorkerOptions, DedupOptions } from '../../curation/index.ts';
import { numberOption, sizeOption, wholeOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { globalsOf, type Session, table } from '../session.ts';

export function curateExtras(session: Session): readonly Command[] {
  return [
    shotsCommand(session),
    inspectCommand(session),
    dedupCommand(session),
    shardCommand(session),
    workerCommand(session),
    reportCommand(session),
    trainShotsCommand(session),
  ];
}

function shotsCommand(session: Session): Command {
  return new Command('shots')
    .description('find the cuts, dissolves, fades and wipes of a video')
    .argument('<video>', 'video file')
    .option('--model <path>', 'another detector: a folder of train-shots, or public TransNetV2 weights (.pth)')
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

function inspectCommand(session: Session): Command {
  return new Command('inspect')
    .description('measure one clip: facts, transitions, quality, motion, caption')
    .argument('<clip>', 'video file')
    .addHelpText('after', '\nExample:\n  orrery curate inspect clip.mp4 --json')
    .action(async (clip: string, _options: object, command: Command) => {
      const { json } = globalsOf(command);
      const { inspectClip } = await import('../../curation/index.ts');
      const { info, transitions, quality, motion, caption } = await inspectClip(clip, { signal: session.signal });
      if (json) {
        // Three pictures in base64, for `dedup` alone.
        const { signature: _, ...told } = quality;
        session.print(JSON.stringify({ info, transitions, quality: told, motion, caption }));
        return;
      }
      const short = (v: number): string => Number(v.toPrecision(4)).toString();
      const rows = [
        ['fact', 'value'],
        ['picture', `${info.width}x${info.height}, ${short(info.fps)} fps, ${info.codec} in ${info.container}`],
        ['length', `${short(info.durationSeconds)} s, ${info.frames} frames`],
        ['transitions', transitions.map((t) => `${t.start}–${t.end} ${t.kind}`).join(', ') || 'none'],
        ...Object.entries(quality)
          .filter(([, v]) => typeof v === 'number')
          .map(([name, v]) => [name, short(v as number)]),
        ['colours', quality.colours.map((c) => `${c.name} ${Math.round(c.share * 100)} %`).join(', ')],
        ...(motion === undefined
          ? []
          : [
              ['motion, global mean', short(motion.globalMean)],
              [
                'camera per frame',
                `x ${short(motion.camera.x)}, y ${short(motion.camera.y)}, zoom ${short(motion.camera.zoom)}`,
              ],
              ['moving regions', `${motion.movingRegions}, ${short(motion.movingShare * 100)} % of the picture`],
            ]),
        ['caption', caption],
      ];
      for (const line of table(rows)) session.print(line);
    });
}

function dedupCommand(session: Session): Command {
  return new Command('dedup')
    .description('find exact, perceptual and semantic duplicates; the best of each group is kept')
    .argument('<out>', 'folder of a curation job')
    .addOption(numberOption('--eps <e>', 'cosine above 1 - eps is a repeat (default 0.01)', 0.0001, 0.9))
    .addOption(wholeOption('--clusters <n>', 'clusters of k-means (default: one per 1000 clips)', 1, 1_000_000))
    .addOption(
      new Option('--keep <rule>', 'which one stays (default quality)').choices(['quality', 'hard', 'easy', 'random']),
    )
    .addOption(wholeOption('--perceptual-bits <n>', 'bits between picture hashes (default 6, 0: off)', 0, 32))
    .addHelpText('after', '\nExample:\n  orrery curate dedup out --eps 0.02')
    .action(async (out: string, options: Partial<DedupOptions>, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { dedup } = await import('../../curation/index.ts');
      let bar: ReturnType<typeof openProgress> | undefined;
      const result = await dedup(out, {
        ...options,
        signal: session.signal,
        onProgress: (done, total) => {
          bar ??= openProgress('clusters', total, { quiet });
          bar.update(done);
        },
      });
      bar?.clear();
      if (json) session.print(JSON.stringify(result));
      else {
        for (const d of result.duplicates)
          session.print(`${d.id} repeats ${d.keptId} (${d.kind}, ${d.score.toFixed(4)})`);
        session.print(result.table);
        if (!quiet) session.note(`${result.kept} of ${result.clips} clips stay`);
      }
    });
}

function shardCommand(session: Session): Command {
  return new Command('shard')
    .description('pack kept clips: WebDataset tars, or a training folder')
    .argument('<out>', 'folder of a curation job')
    .argument('<dst>', 'folder to write; the same command completes it')
    .addOption(
      new Option('--format <name>', 'what to write (default webdataset)').choices(['webdataset', 'train', 'lerobot']),
    )
    .addOption(numberOption('--tar-mb <n>', 'size of a tar (default 500)', 1, 100_000))
    .addOption(numberOption('--min-seconds <s>', 'shortest clip of a tar (default 5, as published)', 0, 3600))
    .addOption(wholeOption('--frames <n>', 'frames of a training sample (default 33)', 1, 10_000))
    .addOption(sizeOption('size of a training sample (default 128x128)'))
    .addOption(wholeOption('--fps <n>', 'frame rate of training samples (default 24)', 1, 240))
    .option('--latents', 'with --format train: also latents of orrery-tokenizer, so that training starts at once')
    .option('--keep-duplicates', 'also clips that dedup marked')
    .addHelpText(
      'after',
      '\nExamples:\n  orrery curate shard out shards\n  orrery curate shard out data/mine --format train --size 128x128',
    )
    .action(async (out: string, dst: string, _flags: object, command: Command) => {
      const o = command.optsWithGlobals<ShardFlags>();
      const { json, quiet } = globalsOf(command);
      const { shard, trainingSet, writeLerobot } = await import('../../curation/index.ts');
      session.resumeWith(`continue with: orrery curate shard ${out} ${dst}`);
      const dropDuplicates = o.keepDuplicates !== true;
      const { signal } = session;
      let bar: ReturnType<typeof openProgress> | undefined;
      const onProgress = (done: number, total: number): void => {
        bar ??= openProgress('clips', Math.max(1, total), { quiet });
        bar.update(done);
      };
      const result =
        o.format === 'train'
          ? await trainingSet(out, dst, {
              ...(o.size ?? {}),
              ...(o.frames === undefined ? {} : { frames: o.frames }),
              ...(o.fps === undefined ? {} : { fps: o.fps }),
              latents: o.latents === true,
              dropDuplicates,
              signal,
              onProgress,
            })
          : o.format === 'lerobot'
            ? await writeLerobot(out, dst, { dropDuplicates, signal, onProgress })
            : await shard(out, dst, {
                dropDuplicates,
                signal,
                ...(o.tarMb === undefined ? {} : { tarBytes: o.tarMb * 1e6 }),
                ...(o.minSeconds === undefined ? {} : { minSeconds: o.minSeconds }),
              });
      bar?.clear();
      if (json) session.print(JSON.stringify(result));
      else {
        session.print(result.dir);
        if (!quiet)
          session.note(
            Object.entries(result)
              .filter(([k]) => k !== 'dir')
              .map(([k, v]) => `${k} ${v}`)
              .join(', '),
          );
        if (!quiet && 'tooShort' in result && result.tooShort > 0)
          session.note(
            o.format === 'train'
              ? `clips were too short for a sample; --frames takes fewer frames`
              : 'clips under 5 s go into no tar, as published; --min-seconds packs them',
          );
      }
    });
}

type ShardFlags = {
  readonly format?: 'webdataset' | 'train' | 'lerobot';
  readonly tarMb?: number;
  readonly minSeconds?: number;
  readonly frames?: number;
  readonly size?: { readonly width: number; readonly height: number };
  readonly fps?: number;
  readonly keepDuplicates?: boolean;
  readonly latents?: boolean;
};

type WorkerFlags = Partial<Omit<CurateWorkerOptions, 'site'>> & {
  readonly nats?: string;
  readonly site?: string | readonly string[];
};

function workerCommand(session: Session): Command {
  return new Command('worker')
    .description('work on a job of a NATS server; come and go at any time')
    .option('--nats <url>', 'server, such as nats://127.0.0.1:4222')
    .option('--job <name>', 'job, when there are several')
    .option('--site <name>', 'take work of this site first; its results stay here')
    .addOption(wholeOption('--cores <n>', 'videos at a time (default 1)', 1, 1024))
    .addOption(wholeOption('--wait-seconds <s>', 'end when no job comes (default: wait)', 1, 86_400))
    .addOption(numberOption('--ack-wait-seconds <s>', 'as the job’s (default 30)', 1, 3600))
    .addHelpText('after', '\nExample:\n  orrery curate worker --nats nats://127.0.0.1:4222')
    .action(async (_options: object, command: Command) => {
      const { json, quiet } = globalsOf(command);
      const { curateWorker } = await import('../../curation/index.ts');
      // The parent knows some of these flags too, and commander gives them to whichever comes first.
      const flags = command.optsWithGlobals<WorkerFlags>();
      const { nats, job, cores, waitSeconds, ackWaitSeconds } = flags;
      if (nats === undefined)
        throw new InputError('--nats', { got: 'nothing', need: 'a server, such as nats://127.0.0.1:4222' }, 'usage');
      const site = Array.isArray(flags.site) ? flags.site[0] : flags.site;
      const given = { job, cores, waitSeconds, ackWaitSeconds, site };
      const rest = Object.fromEntries(Object.entries(given).filter(([, v]) => v !== undefined));
      for await (const event of curateWorker({ ...rest, url: nats, signal: session.signal })) {
        if (json) session.print(JSON.stringify(event));
        else if (!quiet && event.type === 'joined') session.note(`joined ${event.job}, output in ${event.out}`);
        else if (!quiet && event.type === 'left') session.note(event.reason === 'ended' ? 'the job has ended' : 'left');
      }
    });
}

function trainShotsCommand(session: Session): Command {
  return new Command('train-shots')
    .description('train a shot detector on edits of your own footage')
    .argument('<footage...>', 'videos without cuts, and still pictures')
    .requiredOption('-o, --out <dir>', 'model folder to write')
    .addOption(wholeOption('--edits <n>', 'synthetic edits (default 320)', 8, 100_000))
    .addOption(wholeOption('--steps <n>', 'training steps (default 3000)', 1, 1_000_000))
    .addOption(wholeOption('--seed <n>', 'seed (default 1)', 0, 2 ** 32 - 1))
    .addHelpText('after', '\nExample:\n  orrery curate train-shots footage/*.mp4 -o my-shots')
    .action(
      async (videos: string[], o: { out: string; edits?: number; steps?: number; seed?: number }, command: Command) => {
        const { json, quiet } = globalsOf(command);
        const { trainShots } = await import('../../curation/index.ts');
        const { out, ...rest } = o;
        session.resumeWith('continue with the same command');
        let bar: ReturnType<typeof openProgress> | undefined;
        for await (const event of trainShots({ ...rest, videos, out, folder: `${out}-run`, signal: session.signal })) {
          if (json) session.print(JSON.stringify(event));
          if (event.type !== 'step') continue;
          bar ??= openProgress('steps', event.steps, { quiet });
          bar.update(event.step, { text: `loss ${event.loss.toFixed(4)}`, etaSeconds: event.etaSeconds });
        }
        bar?.clear();
        if (!json) session.print(out);
      },
    );
}

function reportCommand(session: Session): Command {
  return new Command('report')
    .description('write the HTML report of a curated folder again')
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
