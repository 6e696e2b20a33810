// Refusal before anything is loaded: what a run with a public model needs, against the memory that is free, and which settings would fit.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OrreryError } from '../../base/index.ts';
import { openCheckpoint } from '../../checkpoints/index.ts';
import { type CosmosTokenizerConfig, type GeneralDitConfig, type T5Config, t5Config } from '../../nets/index.ts';
import { availableMemory } from '../../runtime/index.ts';
import { activationsOf, type Need, networkNeed } from './fit.ts';
import { trainedSize } from './make-diffusion.ts';
import { ditNetwork, type PixelSize, textNetwork, tokenizerNetworks, tokenNetwork } from './networks.ts';
import { type CosmosParts, openAutoregressivePart } from './open-model.ts';
import type { WeightForm } from './weight-form.ts';

/** How weights are held. */
export type Form = { readonly weights: WeightForm; readonly offload: boolean };

/** A part of a model whose need can be counted. */
export type PartNeed = {
  readonly name: string;
  readonly need: (form: Form, size: PixelSize) => Need;
};

export type RoomOptions = Form & {
  /** Bytes that the run may use. Default: what the system says is available. */
  readonly memoryBytes?: number;
  /** False: another size is no way out. Default true. */
  readonly canShrink?: boolean;
  /** What would fit, in words. Default: worked out from the other forms of weights and smaller sizes. */
  readonly ways?: string;
};

const FORMS: readonly (Form & { readonly flag: string })[] = [
  { weights: 'stored', offload: false, flag: 'weights as stored' },
  { weights: '8bit', offload: false, flag: '--weights 8bit' },
  { weights: '4bit', offload: false, flag: '--weights 4bit' },
  { weights: 'stored', offload: true, flag: '--offload' },
  { weights: '4bit', offload: true, flag: '--weights 4bit --offload' },
];

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** The part that needs most: parts are opened one after the other. */
function largest(parts: readonly PartNeed[], form: Form, size: PixelSize): Need & { readonly part: string } {
  const needs = parts.map(({ name, need }) => ({ ...need(form, size), part: name }));
  return needs.reduce((a, b) => (b.peakBytes > a.peakBytes ? b : a));
}

/** Throws a `memory` error when a part would not fit; it names the settings that would. */
export function requireRoom(model: string, parts: readonly PartNeed[], size: PixelSize, options: RoomOptions): void {
  const { memoryBytes = availableMemory(), canShrink = true } = options;
  if (parts.length === 0) return;
  const { part, peakBytes, weightBytes, activationBytes } = largest(parts, options, size);
  if (peakBytes <= memoryBytes) return;
  const others = FORMS.filter(({ weights, offload }) => weights !== options.weights || offload !== options.offload);
  const fitting = others
    .map(({ flag, ...form }) => ({ flag, bytes: largest(parts, form, size).peakBytes }))
    .filter(({ bytes }) => bytes <= memoryBytes)
    .slice(0, 3)
    .map(({ flag, bytes }) => `${flag} (${gigabytes(bytes)})`);
  const smaller = fitting.length > 0 || !canShrink ? undefined : shrunk(parts, size, memoryBytes);
  const found = fitting.length > 0 ? fitting.join(', ') : (smaller ?? 'nothing here: use a machine with more memory');
  const ways = options.ways ?? found;
  throw new OrreryError(
    'memory',
    `${model} at ${size.frames} frames of ${size.width}x${size.height} needs about ${gigabytes(peakBytes)} for its ${part} (weights ${gigabytes(weightBytes)}, values in between ${gigabytes(activationBytes)}), but ${gigabytes(memoryBytes)} are available; would fit: ${ways}; --memory GB counts on another amount`,
    { details: { needBytes: peakBytes, availableBytes: memoryBytes } },
  );
}

/** The largest of some smaller sizes that fits, with the form of weights that it takes. */
function shrunk(parts: readonly PartNeed[], size: PixelSize, memoryBytes: number): string | undefined {
  const sides = (n: number, by: number): number => Math.max(64, 64 * Math.round(n / by / 64));
  for (const by of [1, 1.5, 2, 4]) {
    for (const frames of [size.frames, 57, 33, 17, 9]) {
      if (frames > size.frames) continue;
      const [height, width] = by === 1 ? [size.height, size.width] : [sides(size.height, by), sides(size.width, by)];
      if (height > size.height || width > size.width) continue;
      for (const { flag, ...form } of FORMS) {
        const bytes = largest(parts, form, { frames, height, width }).peakBytes;
        if (bytes > memoryBytes) continue;
        const sized = by === 1 ? '' : ` --height ${height} --width ${width}`;
        return `--frames ${frames}${sized}${form.weights === 'stored' && !form.offload ? '' : ` ${flag}`} (${gigabytes(bytes)})`;
      }
    }
  }
  return undefined;
}

/** Encoder and decoder of a tokenizer. Its weights are widened when it is opened, in every form. */
export function tokenizerNeeds(config: CosmosTokenizerConfig): PartNeed[] {
  return (['encode', 'decode'] as const).map((job) => ({
    name: `tokenizer (${job})`,
    need: ({ offload }, size) => {
      const { temporalCompression: time, spatialCompression: space, kind } = config;
      // A size that does not divide is refused elsewhere; here it counts as the next one that does.
      const whole = (n: number): number => space * Math.ceil(n / space);
      const frames = kind.endsWith('V') ? 1 + time * Math.ceil((size.frames - 1) / time) : size.frames;
      const fitting = { frames, height: whole(size.height), width: whole(size.width) };
      return networkNeed(tokenizerNetworks(config, fitting)[job], { weights: 'stored', offload, storedWidth: 4 });
    },
  }));
}

/** What can be counted of a model: parts of other families are left out. */
export function partNeeds(parts: CosmosParts): PartNeed[] {
  const needs: PartNeed[] = [];
  const tokenizer = tokenizerConfigAt(parts.tokenizer);
  // The autoencoder of Predict2 is another network; what it makes is a latent frame of four.
  const time = tokenizer?.temporalCompression ?? 4;
  const space = tokenizer?.spatialCompression ?? 8;
  if (parts.network !== undefined) {
    if (parts.kind === 'diffusion') {
      const found = transformerAt(parts.network);
      if (found !== undefined) {
        const { config, storedWidth } = found;
        needs.push({
          name: 'transformer',
          need: (form, { frames, height, width }) => {
            const views = config.views?.count ?? 1;
            const p = config.patchSpatial;
            const side = (n: number): number => p * Math.ceil(n / space / p);
            const latents = {
              t: views * (1 + Math.ceil((frames - 1) / time)),
              h: side(height),
              w: side(width),
            };
            // Values in between do not add up over blocks.
            const activationBytes = activationsOf(
              ditNetwork({ ...config, blocks: Math.min(2, config.blocks) }, latents),
            );
            return networkNeed(ditNetwork(config), { ...form, storedWidth, activationBytes });
          },
        });
      }
    } else {
      const { config } = openAutoregressivePart(parts.network);
      needs.push({
        name: 'transformer',
        need: (form) => {
          const tokens = Math.min(512, config.maxTokens);
          const size = { tokens, past: config.maxTokens - tokens, text: config.cross === undefined ? 0 : 512 };
          // Two layers stand for all, but the cache holds keys and values of each.
          const layers = Math.min(2, config.layers);
          const cache = 8 * (config.layers - layers) * config.keyValueHeads * config.headWidth * config.maxTokens;
          const activationBytes = activationsOf(tokenNetwork({ ...config, layers }, size)) + cache;
          return networkNeed(tokenNetwork(config), { ...form, activationBytes });
        },
      });
    }
  }
  if (tokenizer !== undefined) needs.push(...tokenizerNeeds(tokenizer));
  const text = parts.textEncoder === undefined ? undefined : textConfigAt(parts.textEncoder);
  if (text !== undefined) {
    needs.push({
      name: 'text encoder',
      need: (form) => {
        const activationBytes = activationsOf(
          textNetwork({ ...text.config, layers: Math.min(2, text.config.layers) }, 512),
        );
        return networkNeed(textNetwork(text.config), { ...form, storedWidth: text.storedWidth, activationBytes });
      },
    });
  }
  return needs;
}

function tokenizerConfigAt(path: string): CosmosTokenizerConfig | undefined {
  using checkpoint = openCheckpoint(path);
  return checkpoint.network.family === 'cosmos-tokenizer' ? checkpoint.network.config : undefined;
}

function transformerAt(path: string): { readonly config: GeneralDitConfig; readonly storedWidth: 2 | 4 } | undefined {
  using checkpoint = openCheckpoint(path);
  const { network, tensors } = checkpoint;
  if (network.family !== 'general-dit') return undefined;
  const isWide = [...tensors.values()].some(({ dtype, shape }) => dtype === 'f32' && shape.length >= 2);
  return { config: network.config, storedWidth: isWide ? 4 : 2 };
}

/** The text encoder's record; the number type that it states, float32 as the published one has where it states none. */
function textConfigAt(folder: string): { readonly config: T5Config; readonly storedWidth: 2 | 4 } | undefined {
  const file = join(folder, 'config.json');
  if (!existsSync(file)) return undefined;
  const record = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  if (record.model_type !== undefined && record.model_type !== 't5') return undefined;
  return { config: t5Config(record), storedWidth: /16/.test(String(record.torch_dtype)) ? 2 : 4 };
}

/** What multi-view models were trained with, for each camera. */
const VIEW: PixelSize = { frames: 57, height: 480, width: 848 };

/** `requireRoom` for a request of `generate`. */
export function requireRoomToGenerate(
  parts: CosmosParts,
  request: {
    readonly frames?: number | undefined;
    readonly height?: number | undefined;
    readonly width?: number | undefined;
  },
  options: RoomOptions,
): void {
  if (parts.kind === 'diffusion') {
    const config = parts.network === undefined ? undefined : transformerAt(parts.network)?.config;
    // A robot's actions make two frames at a time, at a size of their own.
    if (config === undefined || config.hasAction === true) return;
    const trained = config.views === undefined ? trainedSize(config) : VIEW;
    const { frames = trained.frames, height = trained.height, width = trained.width } = request;
    // Longer videos are made chunk by chunk.
    const chunk = { frames: Math.min(trained.frames, frames), height, width };
    requireRoom(parts.name, partNeeds(parts), chunk, options);
    return;
  }
  // An autoregressive model has one size only.
  const latent = parts.network === undefined ? undefined : openAutoregressivePart(parts.network).config.latent;
  if (latent === undefined) return;
  const size = { frames: 1 + 8 * (latent.t - 1), height: 16 * latent.h, width: 16 * latent.w };
  requireRoom(parts.name, partNeeds(parts), size, { ...options, canShrink: false });
}
