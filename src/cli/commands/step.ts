// `orrery step VIDEO --actions FILE`: a robot's actions in, the video of what they do out.
import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { InputError, OrreryError } from '../../base/index.ts';
import { VERSION } from '../../hub/index.ts';
import { deviceOption, plainNumberOption, wholeOption } from '../options.ts';
import { openProgress } from '../progress.ts';
import { globalsOf, type Session } from '../session.ts';
import { openGuard } from './generate.ts';

type Options = {
  readonly actions: string;
  readonly out: string;
  readonly model: string;
  readonly given?: number;
  readonly caption?: string;
  readonly seed?: number;
  readonly device?: 'cpu' | 'webgpu' | 'cuda';
  readonly threads?: number;
  readonly policy?: string;
  readonly guardrail?: boolean;
};

/** Actions that are given to the world at a time: what one call of the network makes. */
const CHUNK = 8;

export function stepCommand(session: Session): Command {
  return new Command('step')
    .description("step a robot world: what a robot's actions do, from a picture or a video")
    .argument('<input>', 'picture or video to begin with')
    .requiredOption(
      '--actions <file>',
      'JSON: a list of actions, one per frame, each Δx Δy Δz (m), Δroll Δpitch Δyaw (rad), gripper',
    )
    .requiredOption('-o, --out <file>', 'video to write, such as out.mp4')
    .requiredOption('--model <name>', 'action-conditioned model folder, as recipes/orrery-robot.json trains one')
    .addOption(wholeOption('--given <n>', 'first frames of the input that are used (default 9)', 1, 100_000))
    .option('--caption <text>', 'what is in the scene')
    .addOption(plainNumberOption('--seed <n>', 'seed of the noise (default 1)'))
    .option('--policy <file>', 'policy of the guardrail (default: that of the shipped models)')
    .option('--no-guardrail', 'check nothing')
    .addOption(deviceOption())
    .addOption(wholeOption('--threads <n>', 'threads of the engine (default: all cores)', 1, 1024))
    .addHelpText(
      'after',
      '\nExample:\n  orrery step push.mp4 --actions actions.json --model data/orrery-robot -o what-happens.mp4',
    )
    .action(async (input: string, options: Options, command: Command) => step(session, input, options, command));
}

async function step(session: Session, input: string, options: Options, command: Command): Promise<void> {
  const { json, quiet } = globalsOf(command);
  const { openRobotWorld, requireActions, windowOf } = await import('../../worlds/index.ts');
  const { encodeMp4, readFrames } = await import('../../media/index.ts');
  const { model, given = 9, out, caption, seed, device, threads } = options;
  const { width, height, fps } = windowOf(model);
  const frames = await readFrames(input, { width, height, fps, maxFrames: given, signal: session.signal });
  const actions = requireActions(readActions(options.actions, frames.shape[0]));
  await using guardrail = await openGuard(options);
  await using world = await openRobotWorld({
    model,
    frames: frames.data,
    guardrail,
    ...(caption === undefined ? {} : { caption }),
    ...(seed === undefined ? {} : { seed }),
    ...(device === undefined ? {} : { device }),
    ...(threads === undefined ? {} : { threads }),
  });
  const each = width * height * 3;
  const video = new Uint8Array((world.length + actions.length) * each);
  video.set(frames.data);
  const began = performance.now();
  const bar = openProgress('stepping', actions.length, { quiet });
  let made = world.length;
  for (let at = 0; at < actions.length; at += CHUNK) {
    const next = await world.step(actions.slice(at, at + CHUNK), { signal: session.signal });
    video.set(next, made * each);
    made += next.length / each;
    bar.update(Math.min(actions.length, at + CHUNK));
  }
  bar.clear();
  const seconds = (performance.now() - began) / 1000;
  const comment = JSON.stringify({ orrery: VERSION, model, seed: seed ?? 1, guardrail: guardrail.policy });
  const frameList = { dtype: 'u8', shape: [made, height, width, 3], data: video } as const;
  await encodeMp4(frameList, { path: out, fps, metadata: { comment }, signal: session.signal });
  const rate = actions.length / seconds;
  if (json) session.print(JSON.stringify({ type: 'completed', video: out, frames: made, fps, framesPerSecond: rate }));
  else {
    if (!quiet) session.note(`${actions.length} actions, ${rate.toFixed(1)} frames a second`);
    session.print(out);
  }
}

/** Actions of a file. A record of a data set's clip has those of the whole clip: the ones that the given frames show are left out. */
function readActions(path: string, given: number): readonly unknown[] {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new OrreryError('data', `${path}: ${(cause as Error).message}; need a JSON list of actions`, { cause });
  }
  const recorded = Array.isArray(value)
    ? undefined
    : (value as { robot?: { actions?: unknown } } | null)?.robot?.actions;
  // The last recorded action leads nowhere.
  const list = Array.isArray(recorded) ? recorded.slice(given - 1, -1) : value;
  if (!Array.isArray(list) || list.length === 0) {
    throw new InputError(`${path}`, {
      got: value,
      need: 'a list of actions such as [[0.01, 0, 0, 0, 0, 0, 0]], or a record with robot.actions',
    });
  }
  return list;
}
