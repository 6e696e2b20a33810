// `orrery generate`: from a sentence, a picture or a video to a new video. Flags, spec file and library share one schema.
import { Command, Option } from 'commander';
import { type Guardrail, noGuardrail } from '../../base/index.ts';
import type { GenerateEvent, GenerateOptions, WeightForm } from '../../worlds/index.ts';
import { deviceOption, memoryOf, memoryOption, plainNumberOption, weightsOption, wholeOption } from '../options.ts';
import { openProgress, type Progress } from '../progress.ts';
import { globalsOf, type Session } from '../session.ts';
import { readRequests, readViews } from '../spec-file.ts';

type Options = Pick<GenerateOptions, 'device' | 'threads' | 'out' | 'offload'> & {
  readonly spec?: string;
  readonly from?: string;
  readonly negativePrompt?: string;
  readonly input?: string;
  readonly model?: string;
  readonly seed?: number;
  readonly frames?: number;
  readonly height?: number;
  readonly width?: number;
  readonly steps?: number;
  readonly guidance?: number;
  readonly count?: number;
  readonly private?: boolean;
  readonly views?: string;
  readonly camera?: string;
  readonly trajectory?: string;
  readonly actions?: string;
  readonly compatibility?: string;
  readonly weights?: WeightForm;
  readonly memory?: number;
  readonly policy?: string;
  readonly guardrail?: boolean;
};

export function generateCommand(session: Session): Command {
  return (
    new Command('generate')
      .description('make a video of a world from a sentence, a picture or a video')
      .argument('[prompt]', 'what happens, in words')
      .option('-i, --input <file>', 'picture or video to go on from')
      .addOption(plainNumberOption('--seed <n>', 'seed of every random choice (default 1)'))
      .addOption(plainNumberOption('--frames <n>', 'frames of the result (default: one window of the model)'))
      .addOption(
        plainNumberOption('--height <n>', 'rows of pixels, and --width the columns; public models have a choice'),
      )
      .addOption(plainNumberOption('--width <n>', 'columns of pixels').hideHelp())
      .addOption(plainNumberOption('--steps <n>', "sampler steps (default: the model's own)"))
      .addOption(plainNumberOption('--guidance <g>', "weight of the prompt, 0 = off (default: the model's own)"))
      .option('--negative-prompt <text>', 'what to lead away from')
      .addOption(plainNumberOption('--count <n>', 'number of results, each with the next seed (default 1)'))
      .option('--model <name>', 'name, folder, or owner/name of the hub (default orrery-nano)')
      .addOption(weightsOption())
      .option('--offload', 'public models: leave the weights on the disk')
      .addOption(memoryOption().hideHelp())
      .option('--spec <file>', 'requests from a file: JSON or JSON lines; flags win over it')
      .option('--from <run>', 'make the videos of a run folder again')
      .option('--policy <file>', 'policy of the guardrail (default: that of the shipped models)')
      .option('--no-guardrail', 'check nothing; the run record and the video say so')
      .option('--private', 'leave prompt and input path out of the run record')
      .option('-o, --out <dir>', 'folder that gets the run folder (default runs)')
      .addOption(deviceOption())
      .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
      // For public models of special kinds; told in one line below.
      .addOption(new Option('--views <file>', 'prompt and input of each camera').hideHelp())
      .addOption(new Option('--camera <file>', 'path of the camera').hideHelp())
      .addOption(new Option('--trajectory <file>', 'trajectory of 192 numbers').hideHelp())
      .addOption(new Option('--actions <file>', 'robot actions, a frame each').hideHelp())
      .addOption(new Option('--compatibility <how>', 'clean or scripts').hideHelp())
      .addHelpText(
        'after',
        '\nPublic models: --views, --camera, --trajectory, --actions FILE, --compatibility scripts: docs/generate.md' +
          '\nExample:\n  orrery generate "two red balls roll toward each other on a wooden floor" --seed 7',
      )
      .action(async (prompt: string | undefined, options: Options, command: Command) => {
        const {
          device,
          threads,
          out,
          offload,
          memory,
          spec,
          from,
          negativePrompt,
          views,
          policy: _policy,
          guardrail: _guardrail,
          ...rest
        } = options;
        const flags = {
          ...rest,
          ...(prompt === undefined ? {} : { prompt }),
          ...(negativePrompt === undefined ? {} : { negative_prompt: negativePrompt }),
          ...(views === undefined ? {} : { views: readViews(views) }),
        };
        const { generate, parseRequest, requestOfRun } = await import('../../worlds/index.ts');
        const bases = from !== undefined ? [requestOfRun(from)] : spec !== undefined ? readRequests(spec) : [{}];
        const requests = bases.map((request) => ({ ...request, ...flags }));
        // All requests are checked before the first one costs time.
        for (const request of requests) parseRequest(request);
        session.resumeWith('the unfinished run was taken away; the same command starts it again');
        await using guardrail = await openGuard(options);
        for (const request of requests) {
          const events = generate(request, {
            ...given({ device, threads, out, offload }),
            ...memoryOf({ memory }),
            guardrail,
            signal: session.signal,
          });
          await showGeneration(session, events, globalsOf(command));
        }
      })
  );
}

/** The guardrail of the shipped models, that of a policy file, or none when it is switched off by name. */
export async function openGuard(options: {
  readonly policy?: string;
  readonly guardrail?: boolean;
}): Promise<Guardrail> {
  if (options.guardrail === false) return noGuardrail();
  const { openGuardrail, readPolicy } = await import('../../guardrail/index.ts');
  return openGuardrail(options.policy === undefined ? undefined : readPolicy(options.policy));
}

function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** Prints a generation: stages and steps to stderr, each finished video to stdout. Returns the finished ones. */
export async function showGeneration(
  session: Session,
  events: AsyncIterable<GenerateEvent>,
  options: { readonly json: boolean; readonly quiet: boolean },
): Promise<readonly Extract<GenerateEvent, { type: 'completed' }>[]> {
  const { json, quiet } = options;
  const note = (line: string): void => (quiet ? undefined : session.note(line));
  const finished: Extract<GenerateEvent, { type: 'completed' }>[] = [];
  let bar: Progress | undefined;
  try {
    for await (const event of events) {
      if (json && event.type !== 'preview') session.print(JSON.stringify(event));
      switch (event.type) {
        case 'started': {
          const { model, parameters, device } = event;
          note(`world     ${model} · ${(parameters / 1e6).toPrecision(2)}M parameters · ${device} · checksums ok`);
          note(`guardrail ${event.guardrail}${event.guardrail === 'none' ? ' (switched off by you)' : ''}`);
          break;
        }
        case 'weights':
          bar ??= openProgress('weights %', 100, { quiet });
          bar.update(Math.floor((100 * event.done) / event.total), { text: event.part });
          if (event.done === event.total) {
            bar.clear();
            bar = undefined;
          }
          break;
        case 'step':
          bar ??= openProgress('sampling ', event.total, { quiet });
          bar.update(event.index, {
            text: `${event.secondsPerStep.toPrecision(2)} s/step`,
            etaSeconds: event.etaSeconds,
          });
          break;
        case 'completed': {
          bar?.clear();
          bar = undefined;
          finished.push(event);
          const { video, frames, width, height, fps, seed, seconds } = event;
          const facts = `${frames} frames, ${width}x${height}, ${fps} fps, seed ${seed}, ${seconds.toFixed(1)} s`;
          note(`saved     ${facts}`);
          if (!json) session.print(video);
          break;
        }
        default:
          break;
      }
    }
  } finally {
    bar?.clear();
  }
  return finished;
}
