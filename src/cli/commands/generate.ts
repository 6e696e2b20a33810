// `orrery generate` and `orrery demo`: flags to one request, the library's events to the screen.
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { InputError } from '../../base/index.ts';
import type { GenerateEvent, GenerateOptions } from '../../worlds/index.ts';
import { numberOption, seedOption, wholeOption } from '../options.ts';
import { VERSION } from '../package-info.ts';
import { openProgress } from '../progress.ts';
import { globalsOf, type Session } from '../session.ts';

type Options = {
  readonly input?: string;
  readonly negativePrompt?: string;
  readonly model?: string;
  readonly seed?: number;
  readonly frames?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly count?: number;
  readonly spec?: string;
  readonly out?: string;
  readonly device?: 'cpu' | 'webgpu' | 'cuda';
  readonly threads?: number;
  readonly private?: boolean;
};

export function generateCommand(session: Session): Command {
  return new Command('generate')
    .description('make a world from a sentence, an image or a video')
    .argument('[prompt]', 'what happens, in words')
    .option('--input <file>', 'image or video to go on from')
    .option('--negative-prompt <text>', 'what to keep away from (works with --guidance)')
    .option('--model <name>', 'model name or folder (default orrery-nano)')
    .addOption(seedOption())
    .addOption(wholeOption('--frames <n>', 'frames of the video (default one window, 33)', 2, 10_000))
    .addOption(wholeOption('--steps <n>', 'sampler steps (default 12)', 1, 200))
    .addOption(numberOption('--guidance <g>', 'strength of the prompt (default 1 for text alone, else 0)', 0, 30))
    .addOption(wholeOption('--count <n>', 'number of videos; each gets the next seed (default 1)', 1, 100))
    .option('--spec <file>', 'JSON or JSONL file with requests; flags win over it')
    .option('-o, --out <dir>', 'folder for the run folder (default runs)')
    .option('--device <name>', 'cpu, webgpu or cuda (default cpu)')
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .option('--private', 'keep prompt and input path out of the run record')
    .addHelpText(
      'after',
      '\nExample:\n  orrery generate "two red balls roll toward each other on a wooden floor" --seed 7',
    )
    .action(async (prompt: string | undefined, options: Options, command: Command) => {
      for (const request of requestsOf(prompt, options)) await runOne(session, request, options, command);
    });
}

/** One request per line of the spec, or one from the flags alone. */
function requestsOf(prompt: string | undefined, o: Options): Record<string, unknown>[] {
  const flags: Record<string, unknown> = {
    prompt,
    input: o.input,
    negative_prompt: o.negativePrompt,
    model: o.model,
    seed: o.seed,
    frames: o.frames,
    steps: o.steps,
    guidance: o.guidance,
    count: o.count,
    private: o.private,
  };
  const given = Object.fromEntries(Object.entries(flags).filter(([, v]) => v !== undefined));
  if (o.spec === undefined) return [given];
  return readSpec(o.spec).map((line) => ({ ...line, ...given }));
}

function readSpec(path: string): Record<string, unknown>[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new InputError(
      '--spec',
      { got: path, need: 'a readable JSON or JSONL file', why: (cause as Error).message },
      'usage',
    );
  }
  const parse = (part: string, where: string): unknown => {
    try {
      return JSON.parse(part);
    } catch (cause) {
      throw new InputError(
        '--spec',
        { got: `${path}${where}`, need: 'valid JSON', why: (cause as Error).message },
        'usage',
      );
    }
  };
  const values = path.endsWith('.jsonl')
    ? text.split('\n').flatMap((l, i) => (l.trim() === '' ? [] : [parse(l, `, line ${i + 1}`)]))
    : [parse(text, '')].flat();
  for (const value of values) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new InputError('--spec', { got: value, need: 'an object per request' }, 'usage');
    }
  }
  return values as Record<string, unknown>[];
}

async function runOne(
  session: Session,
  request: Record<string, unknown>,
  options: Options,
  command: Command,
): Promise<GenerateEvent | undefined> {
  const { generate } = await import('../../worlds/index.ts');
  const { json, quiet } = globalsOf(command);
  const { out, device, threads } = options;
  if (device !== undefined && !['cpu', 'webgpu', 'cuda'].includes(device)) {
    throw new InputError('--device', { got: device, need: 'cpu, webgpu or cuda' }, 'usage');
  }
  const settings: GenerateOptions = {
    signal: session.signal,
    ...(out === undefined ? {} : { out }),
    ...(device === undefined ? {} : { device }),
    ...(threads === undefined ? {} : { threads }),
  };
  let bar: ReturnType<typeof openProgress> | undefined;
  let last: GenerateEvent | undefined;
  try {
    for await (const event of generate(request, settings)) {
      if (event.type === 'preview') continue;
      if (json) session.print(JSON.stringify(event));
      last = event;
      if (event.type === 'started' && !quiet) {
        session.note(
          `world     ${event.model} · ${(event.parameters / 1e6).toFixed(1)}M parameters · ${event.device} · checksums ok`,
        );
        session.note('guardrail none (this version has no guardrail)');
      }
      if (event.type === 'step') {
        bar ??= openProgress('sampling ', event.total, { quiet });
        bar.update(event.index, { text: `${event.secondsPerStep.toFixed(2)} s/step`, etaSeconds: event.etaSeconds });
      }
      if (event.type === 'completed') {
        bar?.clear();
        bar = undefined;
        if (!quiet) {
          const { frames, width, height, fps, seed, seconds } = event;
          session.note(
            `saved     ${frames} frames, ${width}x${height}, ${fps} fps, seed ${seed}, in ${seconds.toFixed(1)} s`,
          );
        }
        if (!json) session.print(event.video);
      }
    }
  } finally {
    bar?.clear();
  }
  return last;
}

export function demoCommand(session: Session): Command {
  return new Command('demo')
    .description('make a world with what ships in the package: offline, under a minute')
    .option('-o, --out <dir>', 'folder for the run folder (default runs)')
    .addHelpText('after', '\nExample:\n  orrery demo')
    .action(async (options: Options, command: Command) => {
      session.note(`orrery ${VERSION} · node ${process.versions.node} · no network used`);
      const prompt = 'A red ball and a blue ball roll towards each other on a wooden floor.';
      session.note(`prompt    ${prompt}`);
      await runOne(session, { prompt, seed: 7 }, options, command);
      session.note('next      npm run orrery -- generate "a green ball is dropped onto a tiled floor" --seed 3');
      session.note('          npm run orrery -- generate --input YOUR.mp4    go on from a video or picture');
      session.note('          npm run orrery -- doctor                       what this machine can run');
    });
}
