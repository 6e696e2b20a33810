// Prompts to the text features of Predict2.5: a chat with a Qwen2.5 language model, read out at every layer.
import { InputError, type NdArray } from '../../base/index.ts';
import { type LlamaConfig, layerFeatureWidth, type TextTokenizer } from '../../nets/index.ts';
import type { Runtime } from '../../runtime/index.ts';
import type { Component } from './component.ts';
import { reasonNetwork } from './networks.ts';
import { damagedWeight, requireFinite } from './require-finite.ts';
import { openSessions } from './sessions.ts';
import type { PromptEncoder } from './text-encoder.ts';

export type ReasonEncoderOptions = {
  readonly runtime: Runtime;
  readonly component: Component<LlamaConfig>;
  readonly tokenizer: TextTokenizer;
  /** Token that fills the places behind the prompt, and where the filling goes. */
  readonly padding: { readonly id: number; readonly side: 'left' | 'right' };
  /** Places of the context that the world model was trained with. Default 512. */
  readonly length?: number;
};

/** The instruction that the world models were trained behind; with another one the features are others. */
const SYSTEM = 'You are a helpful assistant who will provide prompts to an image generator.';
const chat = (prompt: string): string =>
  `<|im_start|>system\n${SYSTEM}<|im_end|>\n<|im_start|>user\n${prompt}<|im_end|>\n`;

/** More tokens than any prompt has. */
const ALL = 1_000_000;

/** Opens the encoder. Filled places are read out like the others: the world model looks at all of them. */
export function openReasonEncoder(options: ReasonEncoderOptions): PromptEncoder {
  const { runtime, component, tokenizer, padding, length = 512 } = options;
  const { config } = component;
  const sessions = openSessions(runtime, component, 'text encoder', 1);
  return {
    width: layerFeatureWidth(config),
    async encode(prompt) {
      const ids = tokenizer.encode(chat(prompt), ALL).slice(0, length);
      const wrong = [...ids, padding.id].find((id) => id >= config.vocabulary);
      if (wrong !== undefined) {
        throw new InputError(
          'text tokenizer',
          { got: `token ${wrong}`, need: `tokens below ${config.vocabulary}`, why: 'it belongs to another encoder' },
          'model',
        );
      }
      const fill = new Array<number>(length - ids.length).fill(padding.id);
      const all = padding.side === 'left' ? [...fill, ...ids] : [...ids, ...fill];
      const session = await sessions.get(String(length), () => reasonNetwork(config, length));
      const tokens: NdArray = { dtype: 'i64', shape: [1, length], data: BigInt64Array.from(all, BigInt) };
      const { features } = await session.run({ tokens });
      requireFinite(features!.data as Float32Array, 'the text encoder', () =>
        damagedWeight(component, reasonNetwork(config)),
      );
      return features as NdArray & { data: Float32Array };
    },
    dispose: sessions.dispose,
    [Symbol.asyncDispose]: sessions.dispose,
  };
}
