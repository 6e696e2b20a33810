// Generating tokens: the prompt in one go, then one token per run, each an event.
import { InputError, throwIfAborted } from '../../base/index.ts';
import { checkTokenSampling, sampleToken, type TokenSampling } from '../../sampling/index.ts';
import { requireFinite } from '../cosmos/require-finite.ts';
import type { SequenceOptions, TokenModel } from './token-model.ts';

export type GenerateTokensOptions = TokenSampling &
  Pick<SequenceOptions, 'context'> & {
    /** Tokens to go on from. */
    readonly prompt: readonly number[];
    /** New tokens; cut to what the model's longest sequence leaves. */
    readonly count: number;
    readonly seed: number;
    /** Ends the sequence after this token. Default: none. */
    readonly stop?: number;
    readonly signal?: AbortSignal;
  };

/** A new token, or the end. */
export type TokenEvent =
  | {
      readonly type: 'token';
      /** Number of the new token, from 0. */
      readonly index: number;
      readonly total: number;
      readonly token: number;
      /** The logits that chose it, float32 [outputVocabulary]. */
      readonly logits: Float32Array;
    }
  | { readonly type: 'completed'; readonly tokens: readonly number[] };

/** Generates new tokens; ends with all of them, the prompt not included. */
export async function* generateTokens(model: TokenModel, options: GenerateTokensOptions): AsyncGenerator<TokenEvent> {
  const { prompt, count, seed, stop, context, signal } = options;
  checkTokenSampling(options);
  const room = model.config.maxTokens - prompt.length;
  if (prompt.length < 1 || room < 1) {
    throw new InputError('prompt', { got: `${prompt.length} tokens`, need: `1 to ${model.config.maxTokens - 1}` });
  }
  if (!(Number.isInteger(count) && count >= 1)) {
    throw new InputError('new tokens', { got: count, need: 'a whole number from 1' });
  }
  const total = Math.min(count, room);
  await model.begin({ capacity: prompt.length + total, ...(context === undefined ? {} : { context }) });
  const tokens: number[] = [];
  const feedOptions = signal === undefined ? {} : { signal };
  let logits = (await model.feed([prompt], feedOptions)).data;
  for (let index = 0; index < total; index++) {
    throwIfAborted(signal);
    requireFinite(logits, 'the autoregressive transformer');
    const token = sampleToken(logits, options, { seed, step: index });
    tokens.push(token);
    yield { type: 'token', index, total, token, logits };
    if (token === stop) break;
    if (index + 1 < total) logits = (await model.feed([[token]], feedOptions)).data;
  }
  yield { type: 'completed', tokens };
}
