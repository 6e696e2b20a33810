// `orrery curate IN OUT`: a folder of raw video in, a training set out; and the parts of it as commands of their own.
import { Command, Option } from 'commander';
import type { CurateOptions } from '../../curation/index.ts';
import { numberOption, wholeOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { duration, globalsOf, type Session } from '../session.ts';
import { readRequests } from '../spec-file.ts';
import { curateExtras } from './curate-extras.ts';

const choice = (flags: string, text: string, names: readonly string[]): Option =>
  new Option(flags, text).choices([...names]);

export function curateCommand(session: Session): Command {
  const command = new Command('curate')
    .description('turn raw video into a training set: clips, tables, report; the same command continues')
    .argument('[input]', 'folder, file, glob, JSON or CSV list, LeRobot set, MCAP log')
    .argument('[out]', 'folder to write')
    .option('--config <file>', 'JSON file with any of the options (snake_case names)')
    .addOption(choice('--split <how>', 'at shot boundaries or at a fixed stride (default shots)', ['shots', 'fixed']))
    .addOption(numberOption('--min-seconds <s>', 'shortest clip (default 2)', 0.1, 3600))
    .addOption(numberOption('--max-seconds <s>', 'longest clip of a shot (default 60)', 0.5, 3600))
    .addOption(numberOption('--crop-seconds <s>', 'taken off both ends of a shot (default 0.5)', 0, 30))
    .addOption(numberOption('--clip-seconds <s>', 'length of fixed clips (default 10)', 0.5, 3600))
    .addOption(numberOption('--stride-seconds <s>', 'stride of fixed clips (default: their length)', 0.1, 3600))
    .addOption(new Option('--encoder <name>', 'auto, h264_nvenc, libx264, libopenh264, libsvtav1, libvpx-vp9'))
    .addOption(wholeOption('--crf <n>', 'quality of clips, smaller is better (default 20)', 0, 63))
    .addOption(new Option('--preset <name>', 'speed of x264 (default veryfast)'))
    .addOption(wholeOption('--max-height <n>', 'scale taller clips down to this height', 2, 8192))
    .addOption(choice('--audio <how>', 'sound of the clips (default off)', ['off', 'copy']))
    .addOption(choice('--motion <mode>', 'motion filter (default score)', ['off', 'score', 'filter']))
    .addOption(choice('--quality <mode>', 'quality filters (default filter)', ['score', 'filter']))
    .addOption(choice('--overlay <mode>', 'static overlay filter (default score)', ['score', 'filter']))
    .option('--clip-model <path>', 'public weights of CLIP ViT-L/14, for aesthetic scores')
    .option('--aesthetic-model <path>', 'public weights of the aesthetic head')
    .addOption(numberOption('--min-aesthetic <s>', 'take out clips below (default -1: none; published: 3.5)', -1, 10))
    .option('--type-examples <folder>', 'a sub-folder of example clips or pictures per kind of content')
    .option('--drop-types <name...>', 'kinds to take out')
    .option('--keep-types <name...>', 'kinds that alone stay')
    .addOption(choice('--embed <how>', 'embeddings (default orrery)', ['orrery', 'off']))
    .addOption(choice('--caption <how>', 'captions (default facts)', ['facts', 'endpoint', 'off']))
    .option('--caption-url <url>', 'OpenAI-compatible service for --caption endpoint')
    .option('--caption-model <name>', 'its model')
    .option('--preview', 'animated WebP previews')
    .option('--sessions', 'multi-camera sessions (needs --split fixed)')
    .option('--shot-model <path>', 'another detector: a folder of train-shots, or public TransNetV2 weights (.pth)')
    .addOption(wholeOption('--cores <n>', 'cores to use (default: all)', 1, 1024))
    .option('--retry-dead', 'try again what was given up before')
    .option('--nats <url>', 'spread the work over workers through a NATS server')
    .option('--site <name...>', 'sites of the job over NATS; the first one holds the input')
    .addOption(
      numberOption('--ack-wait-seconds <s>', 'silence after which a unit goes to another worker (default 30)', 1, 3600),
    )
    .addOption(wholeOption('--metrics-port <n>', 'serve Prometheus metrics on this loopback port', 1, 65535))
    .addHelpText('after', '\nExamples:\n  orrery curate videos out\n  orrery curate shots film.mp4 --json')
    .action(async (input: string | undefined, out: string | undefined, options: Flags, self: Command) => {
      if (input === undefined || out === undefined)
        self.error('name an input and an output folder: orrery curate IN OUT');
      await run(session, input, out, options, self);
    });
  for (const extra of curateExtras(session)) command.addCommand(extra);
  return command;
}

type Flags = Partial<CurateOptions> & {
  readonly config?: string;
  readonly nats?: string;
  readonly metricsPort?: number;
  readonly site?: readonly string[];
  readonly ackWaitSeconds?: number;
};

async function run(session: Session, input: string, out: string, flags: Flags, command: Command): Promise<void> {
  const { json, quiet } = globalsOf(command);
  const { config, nats, metricsPort, site, ...given } = flags;
  const { curate, fromSnakeCase } = await import('../../curation/index.ts');
  const fromFile = config === undefined ? {} : fromSnakeCase(readRequests(config)[0] ?? {});
  session.resumeWith(`continue with the same command: orrery curate ${input} ${out}`);
  let bar: ReturnType<typeof openProgress> | undefined;
  let metrics = '';
  const server = metricsPort === undefined ? undefined : await serveMetrics(metricsPort, () => metrics);
  try {
    const options = {
      ...fromFile,
      ...given,
      signal: session.signal,
      ...(nats === undefined ? {} : { nats }),
      ...(site === undefined ? {} : { sites: site }),
    };
    const { metricsText } = await import('../../curation/index.ts');
    for await (const event of curate(input, out, options)) {
      if (json) session.print(JSON.stringify(event));
      if (event.type === 'start') {
        bar = openProgress('videos', event.videos, { quiet });
        const kept = event.resumed > 0 ? `, continuing ${event.resumed} pieces of work` : '';
        if (event.job !== undefined && !quiet)
          session.note(`job ${event.job}; workers join with: orrery curate worker --nats ${nats} --job ${event.job}`);
        if (!quiet) session.note(`${event.videos} videos, ${event.skipped} other files skipped${kept}`);
      } else if (event.type === 'progress') {
        metrics = metricsText(event.stages);
        const stages = event.stages
          .map(
            (s) =>
              `${s.name} ${s.done}${s.waiting + s.running > 0 ? `+${s.waiting + s.running}` : ''}${s.dead > 0 ? ` (${s.dead} failed)` : ''}`,
          )
          .join(', ');
        bar?.update(event.videosDone, {
          text: `${event.clips} clips · ${stages}`,
          ...(event.etaSeconds === undefined ? {} : { etaSeconds: event.etaSeconds }),
        });
      } else if (event.type === 'dead') {
        if (!quiet) session.note(`${event.name}: ${event.message}`);
      } else if (event.type === 'done') {
        bar?.clear();
        const { summary, report, seconds } = event;
        const facts = `${summary.clips} clips kept, ${summary.filtered} filtered out, ${summary.processed} of ${summary.videos} videos, ${summary.failed} failed, ${duration(seconds)}`;
        if (!quiet) session.note(facts);
        if (!quiet && summary.tooShort > 0)
          session.note(
            `${summary.tooShort} shots were too short for a clip; --min-seconds and --crop-seconds keep shorter ones`,
          );
        if (!json) for (const line of [summary.path, report]) session.print(line);
        if (summary.processed === 0) session.exitWith(4);
      }
    }
  } finally {
    server?.close();
  }
}

async function serveMetrics(port: number, text: () => string): Promise<{ close(): void }> {
  const { createServer } = await import('node:http');
  const server = createServer((request, response) => {
    const isMetrics = request.url === '/metrics';
    response.writeHead(isMetrics ? 200 : 404, { 'content-type': 'text/plain; version=0.0.4' });
    response.end(isMetrics ? text() : 'metrics are at /metrics\n');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', resolve);
  });
  return {
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
