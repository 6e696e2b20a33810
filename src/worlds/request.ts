// The request of a generation: one schema for flags, JSON files and the library. Names are snake_case in JSON.
import { z } from 'zod';
import { InputError, needOf, type SchemaIssue } from '../base/index.ts';
import { WEIGHT_FORMS } from './cosmos/weight-form.ts';

const MAX_PROMPT = 4000;

/** Field by field: allowed values and defaults. */
export const requestSchema = z.strictObject({
  /** What happens, in words. Empty with an input video or image: the picture alone decides. */
  prompt: z.string().max(MAX_PROMPT, `at most ${MAX_PROMPT} characters`).default(''),
  negative_prompt: z.string().max(MAX_PROMPT, `at most ${MAX_PROMPT} characters`).default(''),
  /** Path of an image or video to go on from. */
  input: z.string().min(1).optional(),
  /** Model name or folder. */
  model: z.string().min(1).default('orrery-nano'),
  seed: z.number().int().min(0).max(4294967295).default(1),
  /** Frames of the result, given ones included. Default: one window of the model. */
  frames: z.number().int().min(1).max(10_000).optional(),
  /** Cameras of a multi-view model, in its order. What an entry leaves out is the prompt, no given frames, and frames that move. */
  views: z
    .array(
      z.strictObject({
        prompt: z.string().max(MAX_PROMPT, `at most ${MAX_PROMPT} characters`).optional(),
        /** Path of an image or video to go on from. */
        input: z.string().min(1).optional(),
        /** Frames that stand still at the start. */
        frame_repeat: z.number().int().min(0).max(1000).optional(),
      }),
    )
    .min(1)
    .max(64)
    .optional(),
  /** Path of the camera path of a camera-conditioned model. */
  camera: z.string().min(1).optional(),
  /** Path of the trajectory of a multi-view model that takes one. */
  trajectory: z.string().min(1).optional(),
  /** Path of the actions of an action-conditioned model. */
  actions: z.string().min(1).optional(),
  /** "scripts": sample as the published scripts of Predict1 do, their slips included. */
  compatibility: z.enum(['clean', 'scripts']).default('clean'),
  /** Size of the result in pixels. Default: what the model was trained with; only public Cosmos models have a choice. */
  height: z.number().int().min(16).max(4096).optional(),
  width: z.number().int().min(16).max(4096).optional(),
  /** Sampler steps. Default: what the model's record says. */
  steps: z.number().int().min(1).max(200).optional(),
  /** x̂0 = c + guidance·(c − u); 0 = off. Default: what the model's record says. */
  guidance: z.number().min(0).max(30).optional(),
  /** Number of results; result i uses seed + i. */
  count: z.number().int().min(1).max(100).default(1),
  /** How a public model's weights are held: as stored, or rounded to 8 or 4 bits, which needs less memory. */
  weights: z.enum(WEIGHT_FORMS).default('stored'),
  /** Leave prompt and input path out of the run record. */
  private: z.boolean().default(false),
});

export type GenerateRequest = z.infer<typeof requestSchema>;

/** Checks a request and fills in defaults. */
export function parseRequest(value: unknown): GenerateRequest {
  const parsed = requestSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    if (unknown !== undefined) {
      throw new InputError(unknown, {
        got: (value as Record<string, unknown>)[unknown],
        need: `no such field; known: ${Object.keys(requestSchema.shape).join(', ')}`,
      });
    }
    const got = issue.path.reduce<unknown>((v, key) => (v as Record<PropertyKey, unknown> | undefined)?.[key], value);
    throw new InputError(issue.path.join('.') || 'request', { got, need: needOf(issue as SchemaIssue) });
  }
  const { prompt, input, views = [] } = parsed.data;
  const isSaid = [prompt, ...views.map((v) => v.prompt ?? '')].some((text) => text.trim() !== '');
  if (!isSaid && input === undefined && views.every((v) => v.input === undefined)) {
    throw new InputError('prompt', {
      got: parsed.data.prompt,
      need: 'a sentence, or an image or video as input',
      why: 'for example "two red balls roll toward each other on a wooden floor"',
    });
  }
  return parsed.data;
}
