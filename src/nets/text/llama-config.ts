// Sizes of a Llama- or Qwen-family decoder from its public `config.json`, and the frequencies of its rotary positions.
import { InputError } from '../../base/index.ts';

/** Llama 3 long-context scaling of the rotary frequencies. */
export type RopeScaling = {
  readonly factor: number;
  readonly lowFrequencyFactor: number;
  readonly highFrequencyFactor: number;
  readonly originalLength: number;
};

/** Names in brackets are those of `config.json`. */
export type LlamaConfig = {
  readonly vocabulary: number;
  /** hidden_size */
  readonly width: number;
  /** intermediate_size */
  readonly mlpWidth: number;
  readonly layers: number;
  readonly heads: number;
  /** num_key_value_heads */
  readonly kvHeads: number;
  readonly headWidth: number;
  readonly ropeTheta: number;
  /** rms_norm_eps */
  readonly eps: number;
  /** The output layer is the embedding (tie_word_embeddings). */
  readonly isTied: boolean;
  /** RMS norm of every query and key head before the rotation: Qwen3. */
  readonly hasQkNorm: boolean;
  /** Queries, keys and values have biases: Qwen2 and Qwen2.5. */
  readonly hasQkvBias?: boolean;
  readonly ropeScaling?: RopeScaling;
};

/** Checks and reads a `config.json`; `model_type` "qwen3" or `qk_norm` switches the head norms on, one of the Qwen2 family the biases. */
export function llamaConfig(json: Readonly<Record<string, unknown>>): LlamaConfig {
  const number = (name: string, standard?: number): number => {
    const value = json[name] ?? standard;
    if (typeof value !== 'number' || !(value > 0)) {
      throw new InputError(`config ${name}`, { got: value, need: 'a positive number' }, 'model');
    }
    return value;
  };
  const width = number('hidden_size');
  const heads = number('num_attention_heads');
  const scaling = json['rope_scaling'] as Record<string, unknown> | null | undefined;
  const kvHeads = number('num_key_value_heads', heads);
  if (heads % kvHeads !== 0) {
    throw new InputError('config num_key_value_heads', { got: kvHeads, need: `a divisor of ${heads}` }, 'model');
  }
  return {
    vocabulary: number('vocab_size'),
    width,
    mlpWidth: number('intermediate_size'),
    layers: number('num_hidden_layers'),
    heads,
    kvHeads,
    headWidth: number('head_dim', width / heads),
    ropeTheta: number('rope_theta', 10_000),
    eps: number('rms_norm_eps', 1e-6),
    isTied: json['tie_word_embeddings'] === true,
    hasQkNorm: json['qk_norm'] === true || json['model_type'] === 'qwen3',
    ...(hasQkvBias(json) ? { hasQkvBias: true } : {}),
    ...(scaling === null || scaling === undefined || isSectioned(scaling) ? {} : { ropeScaling: ropeScaling(scaling) }),
  };
}

const hasQkvBias = (json: Readonly<Record<string, unknown>>): boolean =>
  json['attention_bias'] === true || /^qwen2(_5)?(_vl(_text)?)?$/.test(String(json['model_type']));

/** Positions in time, rows and columns: for text alone the three are equal, and nothing is scaled. */
const isSectioned = (json: Readonly<Record<string, unknown>>): boolean => Array.isArray(json['mrope_section']);

function ropeScaling(json: Readonly<Record<string, unknown>>): RopeScaling {
  const kind = json['rope_type'] ?? json['type'];
  if (kind !== 'llama3') throw new InputError('config rope_scaling', { got: kind, need: 'llama3' }, 'unsupported');
  const at = (name: string): number => {
    const value = json[name];
    if (typeof value !== 'number')
      throw new InputError(`config rope_scaling.${name}`, { got: value, need: 'a number' }, 'model');
    return value;
  };
  return {
    factor: at('factor'),
    lowFrequencyFactor: at('low_freq_factor'),
    highFrequencyFactor: at('high_freq_factor'),
    originalLength: at('original_max_position_embeddings'),
  };
}

/** f_i = θ^(−2i/D), i < D/2; with Llama 3 scaling long wavelengths are stretched, those between blended. */
export function llamaFrequencies({ headWidth, ropeTheta, ropeScaling: s }: LlamaConfig): Float32Array {
  return Float32Array.from({ length: headWidth / 2 }, (_, i) => {
    const f = Math.fround(1 / Math.fround(ropeTheta ** ((2 * i) / headWidth)));
    if (s === undefined) return f;
    const wavelength = (2 * Math.PI) / f;
    if (wavelength < s.originalLength / s.highFrequencyFactor) return f;
    if (wavelength > s.originalLength / s.lowFrequencyFactor) return f / s.factor;
    const blend =
      (s.originalLength / wavelength - s.lowFrequencyFactor) / (s.highFrequencyFactor - s.lowFrequencyFactor);
    return ((1 - blend) * f) / s.factor + blend * f;
  });
}
