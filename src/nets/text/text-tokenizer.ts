// Text to token numbers by a published `tokenizer.json`, cut and padded as the networks want it.
import { Tokenizer } from '@huggingface/tokenizers';
import { InputError, OrreryError } from '../../base/index.ts';
import type { TokenizerJson } from './sentencepiece.ts';

/** A loaded tokenizer. */
export type TextTokenizer = {
  /** Token numbers with the special tokens of the model's template, at most `length`; the end token stays when text is cut. */
  encode(text: string, length: number): number[];
  /** Tokens as text, special ones left out. */
  decode(ids: readonly number[]): string;
  /** Number of a token's text; undefined when there is none. */
  idOf(token: string): number | undefined;
};

/** Opens a tokenizer. @param config of `tokenizer_config.json`, where there is one */
export function textTokenizer(json: TokenizerJson, config: TokenizerJson = {}): TextTokenizer {
  const model = json.model as { type?: unknown } | undefined;
  if (typeof model !== 'object' || model === null || typeof model.type !== 'string') {
    throw new OrreryError('model', 'tokenizer.json has no "model" with a type; need a published tokenizer.json');
  }
  let inner: Tokenizer;
  try {
    inner = new Tokenizer(json as never, config as never);
  } catch (cause) {
    throw new OrreryError('model', `tokenizer.json of type ${model.type} cannot be used: ${(cause as Error).message}`, {
      cause,
    });
  }
  return {
    encode(text, length) {
      if (!(Number.isInteger(length) && length >= 2)) {
        throw new InputError('text length', { got: length, need: 'a whole number from 2' });
      }
      const { ids } = inner.encode(text) as { ids: number[] };
      return ids.length <= length ? ids : [...ids.slice(0, length - 1), ids[ids.length - 1]!];
    },
    decode: (ids) => (ids.length === 0 ? '' : inner.decode([...ids], { skip_special_tokens: true })),
    idOf: (token) => inner.token_to_id(token),
  };
}
