// Position tables of the autoregressive models at real sizes, and the choice of tokens from logits.
import { f32, InputError, type NdArray } from '../../../base/index.ts';
import {
  type AutoregressiveConfig,
  absoluteRows,
  type Grid,
  rotaryRows,
  videoFrequencies,
  type YarnConfig,
} from '../../../nets/index.ts';
import { drawToken, type TokenSampling, tokenDistribution } from '../../../sampling/index.ts';
import { inputOf, isRecord, type ParityCase } from '../case.ts';
import { bothHalves } from './autoregressive.ts';
import type { CaseKind } from './kind.ts';

type Options = Readonly<Record<string, unknown>>;

function listOf(c: ParityCase, name: string): Options[] {
  const value = c.config[name];
  if (!Array.isArray(value) || !value.every(isRecord)) {
    throw new InputError(`${c.name}: config.${name}`, { got: value, need: 'a list of records' }, 'data');
  }
  return value;
}

function gridOf(value: unknown): Grid {
  if (!Array.isArray(value) || value.length !== 3) {
    throw new InputError('latent shape', { got: value, need: 'frames, rows, columns' }, 'data');
  }
  const [t, h, w] = value as [number, number, number];
  return { t, h, w };
}

function yarnOf(value: unknown): (YarnConfig & { original: Grid }) | undefined {
  if (!isRecord(value)) return undefined;
  return {
    scale: Number(value.scale),
    betaFast: Number(value.beta_fast),
    betaSlow: Number(value.beta_slow),
    original: gridOf(value.orig),
  };
}

function positionsOf(c: ParityCase, i: number): number[] {
  const array = c.inputs.get(`t${i}.positions`);
  if (array === undefined) {
    throw new InputError(`${c.name}: input.t${i}.positions`, { got: undefined, need: 'row numbers' }, 'data');
  }
  return Array.from(array.data as ArrayLike<number | bigint>, Number);
}

/** What both tables have in common. */
const gridOptions = (
  t: Options,
): Pick<AutoregressiveConfig, 'latent' | 'hasBeginToken' | 'maxTokens'> & { latent: Grid } => ({
  latent: gridOf(t.latent_shape),
  hasBeginToken: t.training_type === 'text_to_video',
  maxTokens: Number(t.table_len),
});

export const rotaryTables: CaseKind = {
  name: 'rotary tables',
  matches: (c) => Array.isArray(c.config.tables) && c.outputs.has('t0.cos'),
  async run(c) {
    const out: Record<string, NdArray> = {};
    for (const [i, t] of listOf(c, 'tables').entries()) {
      const yarn = yarnOf(t.yarn);
      const rotary = {
        kind: '3d' as const,
        theta: Number(t.rope_theta ?? 500000),
        isInterleaved: false,
        ...(yarn === undefined ? {} : { yarn }),
      };
      const config = { ...gridOptions(t), headWidth: Number(t.head_dim), rotary };
      const { cos, sin } = rotaryRows(config, positionsOf(c, i));
      const { time, space } = videoFrequencies(config);
      out[`t${i}.cos`] = bothHalves(cos, false);
      out[`t${i}.sin`] = bothHalves(sin, false);
      out[`t${i}.spatial_inv_freq`] = f32([space.length], space);
      out[`t${i}.temporal_inv_freq`] = f32([time.length], time);
    }
    return out;
  },
};

export const absoluteTables: CaseKind = {
  name: 'absolute position tables',
  matches: (c) => Array.isArray(c.config.tables) && c.outputs.has('t0.bf16_rounded'),
  async run(c) {
    const out: Record<string, NdArray> = {};
    for (const [i, t] of listOf(c, 'tables').entries()) {
      const config = { ...gridOptions(t), width: Number(t.dim) };
      out[`t${i}.bf16_rounded`] = absoluteRows(config, positionsOf(c, i));
      out[`t${i}.float32`] = absoluteRows(config, positionsOf(c, i), 'f32');
    }
    return out;
  },
};

export const tokenSampling: CaseKind = {
  name: 'choice of tokens',
  matches: (c) => c.inputs.has('logits') && Array.isArray(c.config.cases) && c.outputs.has('s0.tokens'),
  async run(c) {
    const { shape, data } = inputOf(c, 'logits');
    const [rows, vocabulary] = shape as [number, number];
    const out: Record<string, NdArray> = {};
    for (const [i, options] of listOf(c, 'cases').entries()) {
      const uniform = inputOf(c, `s${i}.uniform`).data;
      const sampling = samplingOf(options);
      const tokens = new BigInt64Array(rows);
      const probabilities = f32([rows, vocabulary]);
      for (let row = 0; row < rows; row++) {
        const distribution = tokenDistribution(data.slice(row * vocabulary, (row + 1) * vocabulary), sampling);
        tokens[row] = BigInt(drawToken(distribution, (place) => uniform[row * vocabulary + place]!));
        for (const [k, id] of distribution.ids.entries()) {
          probabilities.data[row * vocabulary + id] = distribution.probabilities[k]!;
        }
      }
      out[`s${i}.tokens`] = { dtype: 'i64', shape: [rows], data: tokens };
      out[`s${i}.probs`] = probabilities;
    }
    return out;
  },
};

/** Temperature 0 clears both limits, as the reference does. */
function samplingOf(options: Options): TokenSampling {
  const temperature = Number(options.temperature ?? 1);
  if (temperature === 0) return { temperature };
  if (typeof options.top_p === 'number') return { temperature, topP: options.top_p };
  return typeof options.top_k === 'number' ? { temperature, topK: options.top_k } : { temperature };
}
