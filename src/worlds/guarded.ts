// Where pipelines meet the guardrail: texts before anything is loaded, given frames before they are encoded, generated frames
// before they are written. What is not allowed becomes one `blocked` error that names category and stage only.
import { type GuardDecision, type GuardFrames, type Guardrail, OrreryError } from '../base/index.ts';
import type { GenerateRequest } from './request.ts';

type Guarded = { readonly guardrail: Guardrail; readonly signal?: AbortSignal };

function refuse(decision: GuardDecision): never {
  const { verdict, category, checker, checks } = decision;
  throw new OrreryError('blocked', decision.message, { details: { verdict, category, checker, checks } });
}

/** Checks prompt and negative prompt; throws `blocked`. */
export async function guardTexts(r: GenerateRequest, { guardrail, signal }: Guarded): Promise<void> {
  const texts = [
    { subject: 'prompt', text: r.prompt },
    { subject: 'negative_prompt', text: r.negative_prompt },
    ...(r.views ?? []).flatMap(({ prompt }) => (prompt === undefined ? [] : [{ subject: 'prompt', text: prompt }])),
  ];
  const decision = await guardrail.checkTexts(texts, signal === undefined ? {} : { signal });
  if (!decision.isAllowed) refuse(decision);
}

/** Checks frames; gives them back with faces hidden, or throws `blocked`. Given frames keep their faces: they are not shown. */
export async function guardFrames<T extends GuardFrames>(
  frames: T,
  subject: 'input' | 'frames',
  fps: number,
  { guardrail, signal }: Guarded,
): Promise<GuardFrames> {
  if (frames.shape[0] === 0 && subject === 'input') return frames;
  const blurFaces = subject === 'frames';
  const options = { subject, fps, blurFaces, ...(signal === undefined ? {} : { signal }) };
  const decision = await guardrail.checkFrames(frames, options);
  if (!decision.isAllowed || decision.frames === undefined) refuse(decision);
  return decision.frames;
}
