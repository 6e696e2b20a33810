// Captions from any OpenAI-compatible service (a local server, a cloud): sampled pictures in, one caption out, with bounded
// concurrency by the engine and retries here. The text of the service is data, never instructions.
import { join } from 'node:path';
import sharp from 'sharp';
import { OrreryError } from '../../base/index.ts';
import type { Work } from '../clip-work.ts';
import type { Stage } from '../engine/stage.ts';
import type { CurateOptions } from '../options.ts';
import { readSamples } from '../pass/samples.ts';
import { clipStage } from './clip-stage.ts';

const PROMPTS: Readonly<Record<CurateOptions['captionPrompt'], string>> = {
  default:
    'Describe this video clip in detail: what is seen, what happens in which order, how things move, and how the camera moves.',
  av: 'This clip was recorded from a driving car. Describe the road, lanes, signs and signals, the other road users with their positions and motion, and everything that matters for safe driving.',
  'av-surveillance':
    'This clip was recorded by a fixed traffic camera. Describe the road, lanes, signs and signals, the road users with their positions and motion, and everything that matters for safety.',
};

/** Pictures per request. */
const PICTURES = 8;
const TRIES = 3;

/** The stage. A clip whose caption fails goes on without one; the reason stays with it. */
export function captionStage(out: string, o: CurateOptions): Stage<Work, Work> {
  const url = `${o.captionUrl!.replace(/\/+$/, '')}/chat/completions`;
  const key = process.env['OPENAI_API_KEY'];
  return clipStage({ name: 'caption', cores: 0.05, workers: 8 }, async () => ({
    one: async (clip, signal) => {
      if (clip.rejected !== undefined) return clip;
      const { width, height, frames } = readSamples(join(out, clip.samples));
      const pictures: string[] = [];
      const count = Math.min(PICTURES, frames.length);
      for (let i = 0; i < count; i++) {
        const frame = frames[Math.round((i * (frames.length - 1)) / Math.max(1, count - 1))]!;
        const jpeg = await sharp(frame, { raw: { width, height, channels: 3 } })
          .jpeg({ quality: 85 })
          .toBuffer();
        pictures.push(`data:image/jpeg;base64,${jpeg.toString('base64')}`);
      }
      const body = JSON.stringify({
        ...(o.captionModel === undefined ? {} : { model: o.captionModel }),
        temperature: 0.1,
        max_tokens: 512,
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: PROMPTS[o.captionPrompt] },
              ...pictures.map((picture) => ({ type: 'image_url', image_url: { url: picture } })),
            ],
          },
        ],
      });
      try {
        const answer = await ask(url, key, body, signal);
        return { ...clip, caption: { model: modelName(o.captionModel), ...answer } };
      } catch (error) {
        if (signal.aborted) throw new OrreryError('canceled', 'canceled');
        return { ...clip, errors: { ...clip.errors, caption: error instanceof Error ? error.message : String(error) } };
      }
    },
  }));
}

const modelName = (model: string | undefined): string => (model ?? 'openai').replace(/[^\w.-]+/g, '_');

async function ask(
  url: string,
  key: string | undefined,
  body: string,
  signal: AbortSignal,
): Promise<{ text: string; promptTokens?: number; outputTokens?: number }> {
  let last = '';
  for (let attempt = 0; attempt < TRIES; attempt++) {
    if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, 500 * 4 ** (attempt - 1)));
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
        },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(120_000)]),
      });
      if (!response.ok) {
        last = `the service answered ${response.status}`;
        if (response.status < 500 && response.status !== 429) break;
        continue;
      }
      const answer = (await response.json()) as {
        choices?: { message?: { content?: unknown } }[];
        usage?: { prompt_tokens?: number; completion_tokens?: number };
      };
      const text = answer.choices?.[0]?.message?.content;
      if (typeof text !== 'string' || text.trim() === '') {
        last = 'the service gave no text';
        continue;
      }
      const thought = text.lastIndexOf('</think>');
      return {
        text: (thought < 0 ? text : text.slice(thought + 8)).trim(),
        ...(answer.usage?.prompt_tokens === undefined ? {} : { promptTokens: answer.usage.prompt_tokens }),
        ...(answer.usage?.completion_tokens === undefined ? {} : { outputTokens: answer.usage.completion_tokens }),
      };
    } catch (error) {
      if (signal.aborted) throw error;
      last = error instanceof Error ? error.message : String(error);
    }
  }
  throw new OrreryError('data', `no caption from ${url}: ${last}; check that the service runs`);
}
