// From a Predict2 network to a denoiser: rectified flow on the σ axis, a noise level for every latent frame, given frames clean.
import { assert } from '../base/index.ts';
import type { Branch } from './denoiser.ts';
import { denoisedFrom, flowScalings } from './edm.ts';
import { guide } from './guidance.ts';
import type { Denoiser } from './sampler.ts';

/**
 * Evaluates the raw network F for each branch asked for, in that order.
 * @param input flat [B, C, T, H, W]: (1 − s)·x, given frames as they are
 * @param times s of every latent frame, length T
 */
export type FlowNetwork = (
  input: Float32Array,
  times: Float32Array,
  branches: readonly Branch[],
  step: number,
) => Promise<readonly Float32Array[]>;

/** Given latent frames; Predict2 does not rescale latents. */
export type FlowCondition = {
  /** Flat [B, C, T, H, W]; frames that are not given may hold anything finite. */
  readonly latent: Float32Array;
  /** 1 for given frames, length T. */
  readonly indicator: readonly number[];
  /** Noise level that the network is told for them. Default 0.0001. */
  readonly sigma?: number;
};

export type FlowDenoiserOptions = {
  /** [B, C, T, H, W]. */
  readonly shape: readonly number[];
  /** g of c + g·(c − u). 0 evaluates one branch only. Default 0. */
  readonly guidance?: number;
  readonly condition?: FlowCondition;
};

/** x̂0 = (1 − s)·x − s·F with s = σ/(σ + 1); given frames are put back in each branch before guidance. Use with `PREDICT2_EULER`. */
export function flowDenoiser(network: FlowNetwork, options: FlowDenoiserOptions): Denoiser {
  const { guidance = 0, condition } = options;
  const put = putter(options);
  const given = condition?.sigma ?? 0.0001;
  return async (x, sigma, step) => {
    const scaling = flowScalings(sigma);
    const times = timesOf(options, scaling.cNoise, given / (given + 1));
    const outputs = await evaluated(network, put(x.map((v) => v * scaling.cIn)), times, guidance, step);
    return combined(
      outputs.map((output) => put(denoisedFrom(x, output, scaling))),
      guidance,
    );
  };
}

/** Time that the network of Predict2.5 is told for given frames. */
const GIVEN_TIME = 0.1;
/** Its times are thousandths, cut off. */
const TIMES = 1000;

/**
 * Predict2.5: x = (1 − s)·x0 + s·ε and the network gives the velocity ε − x0, so x̂0 = x − s·F. Use with `sampleUniPc`, whose levels are s.
 * `condition.sigma` is the time that the network is told for given frames; default 0.1.
 */
export function velocityDenoiser(network: FlowNetwork, options: FlowDenoiserOptions): Denoiser {
  const { guidance = 0, condition } = options;
  const put = putter(options);
  return async (x, s, step) => {
    const times = timesOf(options, Math.floor(s * TIMES) / TIMES, condition?.sigma ?? GIVEN_TIME);
    const outputs = await evaluated(network, put(x.slice()), times, guidance, step);
    return combined(
      outputs.map((output) => put(x.map((v, i) => v - s * output[i]!))),
      guidance,
    );
  };
}

/** Writes the given frames over those of x, which it returns. */
function putter({ shape, condition }: FlowDenoiserOptions): (x: Float32Array) => Float32Array {
  const [b, c, t, h, w] = shape as [number, number, number, number, number];
  const area = h * w;
  const size = b * c * t * area;
  assert(
    condition === undefined || (condition.latent.length === size && condition.indicator.length === t),
    `a condition of ${condition?.latent.length} values and ${condition?.indicator.length} frames for [${shape}]`,
  );
  return (x) => {
    assert(x.length === size, `${x.length} values for the shape [${shape}]`);
    if (condition === undefined) return x;
    for (let plane = 0; plane < b * c * t; plane++) {
      if (!condition.indicator[plane % t]) continue;
      x.set(condition.latent.subarray(plane * area, (plane + 1) * area), plane * area);
    }
    return x;
  };
}

const timesOf = ({ shape, condition }: FlowDenoiserOptions, time: number, given: number): Float32Array =>
  Float32Array.from({ length: shape[2]! }, (_, i) => (condition?.indicator[i] ? given : time));

async function evaluated(
  network: FlowNetwork,
  input: Float32Array,
  times: Float32Array,
  guidance: number,
  step: number,
): Promise<readonly Float32Array[]> {
  const branches: readonly Branch[] = guidance === 0 ? ['cond'] : ['cond', 'uncond'];
  const outputs = await network(input, times, branches, step);
  assert(outputs.length === branches.length, `the network returned ${outputs.length} branches for ${branches.length}`);
  return outputs;
}

const combined = (clean: readonly Float32Array[], guidance: number): Float32Array =>
  guidance === 0 ? clean[0]! : guide(clean[0]!, clean[1]!, guidance);
