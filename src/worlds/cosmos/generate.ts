// `generate` with a public Cosmos model: its parts opened one after the other, a run folder with everything to repeat the run.
import { InputError, throwIfAborted } from '../../base/index.ts';
import { createRunFolder, locateModel, VERSION } from '../../hub/index.ts';
import { openRuntime } from '../../runtime/index.ts';
import type { GenerateEvent, GenerateOptions } from '../generate.ts';
import type { GenerateRequest } from '../request.ts';
import { leaveStopped, makeVideos, type RunVideos } from '../run-videos.ts';
import type { Job } from './job.ts';
import { oneActions } from './make-actions.ts';
import { oneDiffusion } from './make-diffusion.ts';
import { oneAutoregressive } from './make-tokens.ts';
import { oneMultiview } from './make-views.ts';
import { findCosmosParts, openTransformerPart } from './open-model.ts';
import { requireRoomToGenerate } from './require-room.ts';

/** Generates `request.count` videos. */
export async function* generateCosmos(
  request: unknown,
  resolved: GenerateRequest,
  options: GenerateOptions,
): AsyncGenerator<GenerateEvent> {
  const { signal } = options;
  throwIfAborted(signal);
  yield { type: 'stage', name: 'load' };
  const parts = findCosmosParts(locateModel(resolved.model));
  if (parts.kind === 'tokenizer') {
    throw new InputError('model', {
      got: parts.name,
      need: 'a world model',
      why: 'this is a tokenizer; use orrery tokenize',
    });
  }
  const make = parts.kind === 'diffusion' ? makerOf(parts.network!) : oneAutoregressive;
  requireRoomToGenerate(parts, resolved, { offload: false, ...options, weights: resolved.weights });
  await using runtime = openRuntime(options);
  const run = createRunFolder(options.out ?? 'runs', 'generate');
  const videos: RunVideos = { run, count: resolved.count, guardrail: options.guardrail.policy, finished: [] };
  try {
    const hidden = resolved.private
      ? { ...PRIVATE, input: resolved.input && '(private)', views: resolved.views && '(private)' }
      : {};
    const { kind: _kind, name, ...paths } = parts;
    run.write('request.json', { ...(request as object), ...hidden });
    run.write('resolved.json', {
      task: 'generate',
      ...resolved,
      ...hidden,
      guardrail: options.guardrail.policy,
      device: runtime.device,
      threads: options.threads ?? null,
      models: [{ name, parts: paths }],
      software: { node: process.version, orrery: VERSION },
    });
    yield* makeVideos(videos, (index) => {
      const job: Job = { parts, resolved, options, runtime, run, seed: (resolved.seed + index) % 2 ** 32, index };
      return make(job);
    });
  } finally {
    // Also when the caller leaves the loop early.
    leaveStopped(videos);
  }
}

const PRIVATE = { prompt: '(private)', negative_prompt: '(private)' } as const;

/** How a diffusion transformer makes a video, by what it was built for. */
function makerOf(network: string): (job: Job) => AsyncGenerator<GenerateEvent> {
  const { config } = openTransformerPart(network);
  if (config.tokenCondition !== undefined) {
    throw new InputError('model', {
      got: network,
      need: 'a world model',
      why: 'this is the diffusion decoder of the autoregressive models; name one of those',
    });
  }
  if (config.views !== undefined) return oneMultiview;
  return config.hasAction === true ? oneActions : oneDiffusion;
}
