// A public Cosmos diffusion transformer as the start of a training: its weights stay in their files, whatever spelling those have.
import { createHash } from 'node:crypto';
import { OrreryError, sizeOf, toF32 } from '../base/index.ts';
import { type CheckpointTensor, ditName, findCheckpoint, openCheckpoint } from '../checkpoints/index.ts';
import { decodeTensor, openFileAccess, openTensors } from '../formats/index.ts';
import type { GeneralDitConfig } from '../nets/index.ts';
import { type CosmosParts, findCosmosParts, openTransformerPart } from '../worlds/index.ts';
import type { CosmosRecipe } from './recipe.ts';
import type { StartWeights } from './start.ts';

export type PublicModel = {
  readonly parts: CosmosParts & { readonly network: string };
  readonly config: GeneralDitConfig;
  readonly start: StartWeights;
  /** Name of a weight in adapter files for this model, without `.weight`. */
  adapterName(key: string): string;
  /** Buffers and row of the learned loss weighting, where the checkpoint has them. */
  readonly logVariance: ReadonlyMap<string, Float32Array>;
};

/** Opens the transformer that a recipe starts from. */
export function openPublicModel({ from, parts: given }: Pick<CosmosRecipe, 'from' | 'parts'>): PublicModel {
  const parts = findCosmosParts(from, {
    ...(given?.tokenizer === undefined ? {} : { tokenizer: given.tokenizer }),
    ...(given?.textEncoder === undefined ? {} : { textEncoder: given.textEncoder }),
  });
  const { network } = parts;
  if (parts.kind !== 'diffusion' || network === undefined) {
    throw new OrreryError('unsupported', `${from} is ${parts.kind}; need a diffusion transformer (Predict1, Predict2)`);
  }
  const component = openTransformerPart(network);
  const { config } = component;
  requireTrainable(config, from);
  const checkpoint = openCheckpoint(network);
  const { layout, expected, tensors } = checkpoint;
  const keys = expected.map(({ key }) => key);
  const sizes = new Map(expected.map(({ key, shape }) => [key, sizeOf(shape)]));
  const sha256 = fingerprint(keys, (key) => tensors.get(key)!);
  checkpoint.close();
  const known = new Set(keys);
  return {
    parts: { ...parts, network },
    config,
    logVariance: logVarianceOf(network),
    adapterName: (key) => {
      const name = ditName(key, layout === 'orrery' ? 'original' : layout).replace(/\.weight$/, '');
      return `${layout === 'diffusers' ? 'transformer' : 'net'}.${name}`;
    },
    start: {
      name: parts.name,
      sha256,
      sizes,
      source: { weights: component.weights, load: { ...component.load, isPacked: false } },
      values: {
        has: (key) => known.has(key),
        keys: () => known.keys(),
        get: (key) => (known.has(key) ? read(network, key, tensors.get(key)!) : undefined),
      },
    },
  };
}

/** Numbers of a weight: from its place in a file, or put together from an opened checkpoint. */
function read(network: string, key: string, { place, ...type }: CheckpointTensor): Float32Array {
  if (place !== undefined) {
    const file = openFileAccess(place.path);
    try {
      return toF32(decodeTensor(type, file.read(place.offset, place.length), key));
    } finally {
      file.close();
    }
  }
  using checkpoint = openCheckpoint(network);
  return toF32(decodeTensor(type, checkpoint.tensors.get(key)!.readBytes(), key));
}

function requireTrainable(c: GeneralDitConfig, path: string): void {
  const extra = c.inChannels - c.outChannels;
  const odd =
    c.views !== undefined
      ? 'several views'
      : c.tokenCondition !== undefined
        ? 'codes as a condition'
        : c.hasAugmentSigma
          ? 'a second noise level'
          : extra > 1
            ? 'camera rays'
            : undefined;
  if (odd !== undefined) {
    throw new OrreryError(
      'unsupported',
      `${path}: post-training of a transformer with ${odd} is not there; Text2World, Video2World and action-conditioned ones can be trained`,
    );
  }
}

const GLANCE_BYTES = 4096;

/** Names, types, shapes and the first bytes of every weight: another model or another training of it has others. */
function fingerprint(keys: readonly string[], tensorOf: (key: string) => CheckpointTensor): string {
  const hash = createHash('sha256');
  const files = new Map<string, ReturnType<typeof openFileAccess>>();
  try {
    for (const key of [...keys].sort()) {
      const { dtype, shape, place, readBytes } = tensorOf(key);
      hash.update(`${key} ${dtype} [${shape}]\n`);
      if (place === undefined) {
        hash.update(readBytes().subarray(0, GLANCE_BYTES));
        continue;
      }
      const file = files.get(place.path) ?? openFileAccess(place.path);
      files.set(place.path, file);
      hash.update(file.read(place.offset, Math.min(GLANCE_BYTES, place.length)));
    }
  } finally {
    for (const file of files.values()) file.close();
  }
  return hash.digest('hex');
}

/** `logvar.0.freqs`, `logvar.0.phases`, `logvar.1.weight`: only training uses them, so only files of the original trainer have them. */
function logVarianceOf(network: string): Map<string, Float32Array> {
  const found = new Map<string, Float32Array>();
  for (const file of findCheckpoint(network).files) {
    using source = openTensors(file);
    for (const name of source.tensors.keys()) {
      const key = /(?:^|\.)(logvar\.(?:0\.freqs|0\.phases|1\.weight))$/.exec(name)?.[1];
      if (key !== undefined) found.set(key, toF32(source.read(name)).slice());
    }
  }
  return found;
}
