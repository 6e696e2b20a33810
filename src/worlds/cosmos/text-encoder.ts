// Prompts to text features by a T5 encoder: 512 places, zeros past the prompt.
import { f32, InputError, type NdArray } from '../../base/index.ts';
import { input } from '../../graph/index.ts';
import { namedWeights, type T5Config, type TextTokenizer, t5Encoder } from '../../nets/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { Component } from './component.ts';
import { textNetwork } from './networks.ts';
import { damagedWeight, requireFinite } from './require-finite.ts';
import { openSessions } from './sessions.ts';

/** Turns prompts into what the world models see. */
export type PromptEncoder = {
  /** Channels of the features. */
  readonly width: number;
  /** Features float32 [1, length, width]. */
  encode(prompt: string): Promise<NdArray & { data: Float32Array }>;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
};

export type TextEncoder = PromptEncoder & { readonly config: T5Config };

export type TextEncoderOptions = {
  readonly runtime: Runtime;
  readonly component: Component<T5Config>;
  readonly tokenizer: TextTokenizer;
  /** Places of the context that the world model was trained with. Default 512. */
  readonly length?: number;
};

/** Opens an encoder. A prompt runs at its own length, rounded up: places behind it change nothing and are zeros anyway. */
export function openTextEncoder(options: TextEncoderOptions): TextEncoder {
  const { runtime, component, tokenizer, length = 512 } = options;
  const { config } = component;
  const sessions = openSessions(runtime, component, 'text encoder', 1);
  return {
    config,
    width: config.width,
    async encode(prompt) {
      const ids = tokenizer.encode(prompt, length);
      const wrong = ids.find((id) => id >= config.vocabulary);
      if (wrong !== undefined) {
        throw new InputError(
          'text tokenizer',
          { got: `token ${wrong}`, need: `tokens below ${config.vocabulary}`, why: 'it belongs to another encoder' },
          'model',
        );
      }
      const size = Math.min(length, Math.ceil(ids.length / 32) * 32);
      const session = await sessions.get(String(size), () => {
        const inputs = { tokens: input('tokens', [1, size], 'i64'), mask: input('mask', [1, size]) };
        return { features: t5Encoder(inputs, config, namedWeights) };
      });
      const tokens = new BigInt64Array(size);
      for (const [i, id] of ids.entries()) tokens[i] = BigInt(id);
      const { features } = await session.run({
        tokens: { dtype: 'i64', shape: [1, size], data: tokens },
        mask: f32([1, size], new Float32Array(size).fill(1, 0, ids.length)),
      });
      const out = f32([1, length, config.width]);
      requireFinite(features!.data as Float32Array, 'the text encoder', () =>
        damagedWeight(component, textNetwork(config)),
      );
      out.data.set(features!.data as Float32Array);
      return out;
    },
    dispose: sessions.dispose,
    [Symbol.asyncDispose]: sessions.dispose,
  };
}
