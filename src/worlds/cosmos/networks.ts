// The networks of the public models as graphs of a given size, outside of any session: for lists of their weights and for counting memory.
import { input, type Tensor } from '../../graph/index.ts';
import {
  type AutoregressiveConfig,
  type CosmosTokenizerConfig,
  decodeImage,
  decodeVideo,
  encodeImage,
  encodeVideo,
  type GeneralDitConfig,
  generalDit,
  type LlamaConfig,
  layerFeatures,
  namedWeights,
  type T5Config,
  t5Encoder,
} from '../../nets/index.ts';
import { autoregressiveGraph } from '../autoregressive/token-model.ts';

export type Outputs = Readonly<Record<string, Tensor>>;

/** Latent size; with several views t counts the frames of all of them. */
export type LatentSize = { readonly t: number; readonly h: number; readonly w: number };

/** Tokens of the text that the models see. */
const TEXT_TOKENS = 512;

/** One evaluation of a diffusion transformer. Default size: the smallest. */
export function ditNetwork(c: GeneralDitConfig, size?: LatentSize): Outputs {
  const views = c.views?.count ?? 1;
  const p = c.patchSpatial;
  const { t, h, w } = size ?? { t: views * c.patchTemporal, h: 2 * p, w: 2 * p };
  const text = size === undefined ? 1 : TEXT_TOKENS;
  const extra = c.inChannels - c.outChannels;
  const inputs = {
    x: input('x', [1, c.outChannels, t, h, w]),
    timesteps: input('timesteps', c.flow === undefined ? [1] : [1, t]),
    context: input('context', [1, views * text, c.contextProjection ?? c.contextWidth]),
    fps: input('fps', [1]),
    ...(c.hasPaddingMask ? { paddingMask: input('paddingMask', [1, 1, h, w]) } : {}),
    ...(extra >= 1 ? { conditionMask: input('conditionMask', [1, 1, t, h, w]) } : {}),
    ...(extra > 1 ? { cameraRays: input('cameraRays', [1, extra - 1, t, h, w]) } : {}),
    ...(c.hasAugmentSigma ? { augmentNoise: input('augmentNoise', [1]) } : {}),
    ...((c.views?.trajectoryWidth ?? 0) > 0 ? { trajectory: input('trajectory', [1, 192]) } : {}),
    ...(c.tokenCondition === undefined ? {} : { codes: input('codes', [1, 1, t, h / 2, w / 2], 'i32') }),
    ...(c.hasAction === true ? { action: input('action', [1, 1, 7]) } : {}),
  };
  return { f: generalDit(inputs, c, namedWeights) };
}

/** The text encoder on a prompt of `tokens` tokens. */
export function textNetwork(c: T5Config, tokens = 1): Outputs {
  const inputs = { tokens: input('tokens', [1, tokens], 'i64'), mask: input('mask', [1, tokens]) };
  return { features: t5Encoder(inputs, c, namedWeights) };
}

/** The text encoder of Predict2.5 on a context of `tokens` tokens. */
export const reasonNetwork = (c: LlamaConfig, tokens = 1): Outputs => ({
  features: layerFeatures(input('tokens', [1, tokens], 'i64'), c, namedWeights),
});

/** Pixels of a tokenizer's chunk. */
export type PixelSize = { readonly frames: number; readonly height: number; readonly width: number };

/** Encoder and decoder of a tokenizer. Default size: the smallest. */
export function tokenizerNetworks(
  c: CosmosTokenizerConfig,
  size?: PixelSize,
): { readonly encode: Outputs; readonly decode: Outputs } {
  const s = c.spatialCompression;
  const isVideo = c.kind === 'CV' || c.kind === 'DV';
  const { frames, height, width } = size ?? { frames: isVideo ? 1 + c.temporalCompression : 1, height: s, width: s };
  const channels = c.levels?.length ?? c.latentChannels;
  const [h, w] = [height / s, width / s];
  const pixels = input('pixels', isVideo ? [1, 3, frames, height, width] : [frames, 3, height, width]);
  const t = 1 + (frames - 1) / c.temporalCompression;
  const latents = input('latents', isVideo ? [1, channels, t, h, w] : [frames, channels, h, w]);
  return {
    encode: { z: (isVideo ? encodeVideo : encodeImage)(pixels, c, namedWeights) },
    decode: { x: (isVideo ? decodeVideo : decodeImage)(latents, c, namedWeights) },
  };
}

/** Every weight of an autoregressive model, used as in generation: one run and the cache of the text. Default size: the smallest. */
export const tokenNetwork = (
  c: AutoregressiveConfig,
  size?: { readonly tokens: number; readonly past: number; readonly text: number },
): Outputs => autoregressiveGraph(c, namedWeights, size);
