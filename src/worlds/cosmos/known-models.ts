// The public world models that run here, with what each needs on a machine. Counted from the architectures; nothing is downloaded.
import {
  COSMOS_CV8X8X8,
  type CosmosTokenizerConfig,
  cosmosTokenizerConfig,
  type GeneralDitConfig,
  PREDICT1_7B,
  PREDICT1_14B,
  PREDICT1_AR,
  T5_11B,
} from '../../nets/index.ts';
import { activationsOf, type Need, networkNeed } from './fit.ts';
import { ditNetwork, type Outputs, type PixelSize, textNetwork, tokenizerNetworks, tokenNetwork } from './networks.ts';
import type { WeightForm } from './weight-form.ts';

/** A public model and the size of its results. */
export type KnownModel = {
  /** Name on the hub. */
  readonly name: string;
  readonly size: PixelSize;
  /** False: its network computes, but a part of the pipeline is missing here. */
  readonly isWhole: boolean;
  readonly tokenizer: CosmosTokenizerConfig;
  readonly hasText: boolean;
} & (
  | { readonly kind: 'diffusion'; readonly config: GeneralDitConfig }
  | { readonly kind: 'autoregressive'; readonly config: (typeof PREDICT1_AR)['4B'] }
);

const DV8X16X16 = cosmosTokenizerConfig({ kind: 'DV', spatial_compression: 16 });
const CLIP: PixelSize = { frames: 121, height: 704, width: 1280 };
const CODES: PixelSize = { frames: 33, height: 640, width: 1024 };
const diffusion = (name: string, config: GeneralDitConfig): KnownModel => ({
  kind: 'diffusion',
  name: `nvidia/${name}`,
  config,
  size: CLIP,
  isWhole: true,
  tokenizer: COSMOS_CV8X8X8,
  hasText: true,
});
const autoregressive = (size: keyof typeof PREDICT1_AR, suffix = ''): KnownModel => ({
  kind: 'autoregressive',
  name: `nvidia/Cosmos-Predict1-${size}${suffix}`,
  config: PREDICT1_AR[size],
  size: CODES,
  isWhole: true,
  tokenizer: DV8X16X16,
  hasText: PREDICT1_AR[size].cross !== undefined,
});
const predict2 = (name: string, width: number, blocks: number): KnownModel => ({
  ...diffusion(name, {
    ...PREDICT1_7B,
    inChannels: 17,
    width,
    blocks,
    heads: width / 128,
    extraPositions: 'none',
    ropeRatios: { t: 1, h: 3, w: 3 },
  }),
  isWhole: false,
});

export const KNOWN_MODELS: readonly KnownModel[] = [
  diffusion('Cosmos-Predict1-7B-Text2World', PREDICT1_7B),
  diffusion('Cosmos-Predict1-7B-Video2World', { ...PREDICT1_7B, inChannels: 17 }),
  diffusion('Cosmos-Predict1-14B-Text2World', PREDICT1_14B),
  diffusion('Cosmos-Predict1-14B-Video2World', { ...PREDICT1_14B, inChannels: 17 }),
  autoregressive('4B'),
  autoregressive('5B', '-Video2World'),
  autoregressive('12B'),
  autoregressive('13B', '-Video2World'),
  predict2('Cosmos-Predict2-2B-Video2World', 2048, 28),
  predict2('Cosmos-Predict2-14B-Video2World', 5120, 36),
];

/** The need of a model in one form: of its largest part, since parts are opened one after the other. */
export type ModelNeed = Need & {
  /** The part that needs most. */
  readonly part: 'network' | 'text encoder' | 'tokenizer';
};

/** What each public model needs in each form. @param size of the results; default: what each was trained for */
export function knownNeeds(
  size?: PixelSize,
): readonly { readonly model: KnownModel; readonly needs: readonly ModelNeed[] }[] {
  const parts = new Map<string, unknown>();
  const once = <T>(key: string, count: () => T): T => {
    if (!parts.has(key)) parts.set(key, count());
    return parts.get(key) as T;
  };
  return KNOWN_MODELS.map((model) => ({ model, needs: modelNeeds(model, size ?? model.size, once) }));
}

/** Counts a part, or gives what was counted before: models share tokenizers and the text encoder. */
type Once = <T>(key: string, count: () => T) => T;

function modelNeeds(model: KnownModel, size: PixelSize, once: Once): readonly ModelNeed[] {
  const weights = weightsNetwork(model);
  const activationBytes = activationsOf(sizedNetwork(model, size)) + cacheBytes(model);
  const forms: readonly (readonly [WeightForm, boolean])[] = [
    ['stored', false],
    ['8bit', false],
    ['4bit', false],
    ['stored', true],
  ];
  const coder = once(JSON.stringify([model.tokenizer, size]), () => {
    const { encode, decode } = tokenizerNetworks(model.tokenizer, size);
    return [encode, decode].map((outputs) => networkNeed(outputs, { weights: 'stored', storedWidth: 4 }));
  });
  return forms.map(([form, offload]) => {
    const parts: ModelNeed[] = [
      { ...networkNeed(weights, { weights: form, offload, activationBytes }), part: 'network' },
      ...coder.map((need) => ({ ...need, part: 'tokenizer' as const })),
    ];
    let diskBytes = parts[0]!.diskBytes + coder[0]!.diskBytes;
    if (model.hasText) {
      const text = once(`text ${form} ${offload}`, () => textNeed(form, offload));
      parts.push({ ...text, part: 'text encoder' });
      diskBytes += text.diskBytes;
    }
    const most = parts.reduce((a, b) => (b.peakBytes > a.peakBytes ? b : a));
    return { ...most, weights: form, offload, diskBytes };
  });
}

/** The text encoder, which is published in float32, on a prompt of 512 tokens. */
function textNeed(weights: WeightForm, offload: boolean): Need {
  const activationBytes = activationsOf(textNetwork({ ...T5_11B, layers: 2 }, 512));
  return networkNeed(textNetwork(T5_11B), { weights, offload, storedWidth: 4, activationBytes });
}

/** Every weight, in the smallest size. */
const weightsNetwork = (model: KnownModel): Outputs =>
  model.kind === 'diffusion' ? ditNetwork(model.config) : tokenNetwork(model.config);

/** Two blocks at full size: activations do not add up over blocks. */
function sizedNetwork(model: KnownModel, { frames, height, width }: PixelSize): Outputs {
  const { temporalCompression: time, spatialCompression: space } = model.tokenizer;
  if (model.kind === 'diffusion') {
    const size = { t: 1 + (frames - 1) / time, h: height / space, w: width / space };
    return ditNetwork({ ...model.config, blocks: 2 }, size);
  }
  const { maxTokens } = model.config;
  return tokenNetwork({ ...model.config, layers: 2 }, { tokens: 512, past: maxTokens - 512, text: 512 });
}

/** Keys and values of all tokens in float32; those of two layers are counted among the inputs. */
function cacheBytes(model: KnownModel): number {
  if (model.kind === 'diffusion') return 0;
  const { layers, keyValueHeads, headWidth, maxTokens } = model.config;
  return 4 * 2 * (layers - 2) * keyValueHeads * headWidth * maxTokens;
}
