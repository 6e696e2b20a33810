// The architecture of an autoregressive checkpoint: what its tensors tell, and for the rest the public model of the same depth.
import { type AutoregressiveConfig, PREDICT1_AR } from '../nets/index.ts';
import type { AutoregressiveOptions } from './keys/autoregressive.ts';

/** @param stated `config.json` beside the weights: `video_latent_shape` and `max_seq_len` win over the public model's */
export function publicAutoregressiveConfig(
  o: AutoregressiveOptions,
  stated: Readonly<Record<string, unknown>> = {},
): AutoregressiveConfig {
  const hasBegin = o.embedding_rows > o.vocab_size;
  const isDeep = o.n_layers === PREDICT1_AR['12B'].layers;
  const { cross: _cross, ...rest } = PREDICT1_AR[isDeep ? (hasBegin ? '13B' : '12B') : hasBegin ? '5B' : '4B'];
  const latent = gridOf(stated.video_latent_shape);
  return {
    ...rest,
    layers: o.n_layers,
    width: o.dim,
    heads: o.n_heads,
    keyValueHeads: o.n_kv_heads,
    headWidth: o.head_dim,
    hidden: o.ffn_hidden_size,
    inputVocabulary: o.embedding_rows,
    outputVocabulary: o.vocab_size,
    hasQueryKeyNorm: o.use_qk_normalization,
    ...(latent === undefined ? {} : { latent }),
    ...(typeof stated.max_seq_len === 'number' ? { maxTokens: stated.max_seq_len } : {}),
    ...(o.insert_cross_attn
      ? { cross: { every: o.insert_cross_attn_every_k_layers, width: o.context_dim ?? 1024 } }
      : {}),
  };
}

function gridOf(value: unknown): { t: number; h: number; w: number } | undefined {
  if (!Array.isArray(value) || value.length !== 3) return undefined;
  const [t, h, w] = value as [number, number, number];
  return { t, h, w };
}
