// Kinds of content by example: a folder with a sub-folder of pictures or clips per kind, and the nearest of them decide. The
// embeddings that come with the package know looks (colours, textures, layout), no things: kinds that differ in look, such as
// drawn against filmed, night against day, road against kitchen, are told apart; kinds that differ in meaning alone are not.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { InputError, OrreryError } from '../../base/index.ts';
import { decodeVideo, probe, readImage } from '../../media/index.ts';
import type { Work } from '../clip-work.ts';
import type { Stage } from '../engine/stage.ts';
import type { CurateOptions } from '../options.ts';
import type { Samples } from '../pass/measure.ts';
import { clipStage } from './clip-stage.ts';
import { type Embedder, LOOK_SIZE, openEmbedder } from './embed.ts';

/** Nearest examples that vote. */
const NEIGHBOURS = 5;
/** Pictures taken of an example clip. */
const PICTURES = 9;
const HEIGHT = 120;

/** An example: a unit vector of its look, and its kind. */
export type Example = { readonly kind: string; readonly look: Float32Array };

/** The stage: clips after the embedding get their kind; `dropTypes` and `keepTypes` take clips out. */
export function typeStage(o: CurateOptions): Stage<Work, Work> {
  return clipStage({ name: 'type', cores: 0.1, maxWorkers: 1 }, async () => {
    const examples = await readExamples(o.typeExamples!);
    return {
      one: async (clip) => {
        if (clip.rejected !== undefined || clip.embedding === undefined) return clip;
        const { kind, share } = kindOf(lookOf(clip.embedding), examples);
        const typed = { ...clip, type: kind };
        const isDropped = o.dropTypes.includes(kind) || (o.keepTypes.length > 0 && !o.keepTypes.includes(kind));
        if (!isDropped) return typed;
        const reason = `looks like the examples of "${kind}" (${Math.round(share * 100)} % of the vote)`;
        return { ...typed, rejected: { by: 'type', reason } };
      },
    };
  });
}

/** Kinds of a folder of examples. Throws when the folder is none, or a wanted kind has no examples. */
export function checkTypes(o: CurateOptions): void {
  if (o.typeExamples === undefined) return;
  const kinds = kindsOf(o.typeExamples);
  for (const [name, wanted] of [
    ['dropTypes', o.dropTypes],
    ['keepTypes', o.keepTypes],
  ] as const)
    for (const kind of wanted)
      if (!kinds.includes(kind))
        throw new InputError(name, { got: kind, need: `one of the folders of ${o.typeExamples}: ${kinds.join(', ')}` });
}

function kindsOf(folder: string): string[] {
  if (!existsSync(folder) || !statSync(folder).isDirectory())
    throw new InputError('typeExamples', {
      got: folder,
      need: 'a folder with a sub-folder of pictures or clips per kind',
    });
  const kinds = readdirSync(folder)
    .filter((name) => !name.startsWith('.') && statSync(join(folder, name)).isDirectory())
    .sort();
  if (kinds.length < 2)
    throw new InputError('typeExamples', {
      got: folder,
      need: 'two sub-folders at least, one per kind',
      why: `it has ${kinds.length}`,
    });
  return kinds;
}

/** Reads and embeds the examples of a folder. */
export async function readExamples(folder: string): Promise<Example[]> {
  const embedder = await openEmbedder();
  try {
    const examples: Example[] = [];
    for (const kind of kindsOf(folder)) {
      const files = readdirSync(join(folder, kind))
        .filter((name) => !name.startsWith('.'))
        .sort();
      if (files.length === 0)
        throw new OrreryError('data', `${join(folder, kind)}: it is empty; need at least one picture or clip`);
      for (const name of files) examples.push({ kind, look: await lookOfFile(embedder, join(folder, kind, name)) });
    }
    return examples;
  } finally {
    await embedder.dispose();
  }
}

async function lookOfFile(embedder: Embedder, path: string): Promise<Float32Array> {
  return lookOf(await embedder.embed(await samplesOf(path), undefined));
}

/** Pictures spread over a clip, or the one picture of a picture file. */
async function samplesOf(path: string): Promise<Samples> {
  if (/\.(jpe?g|png|webp|avif|tiff?)$/i.test(path)) {
    const { data, shape } = await readImage(path);
    return { width: shape[2], height: shape[1], times: [0], frames: [data] };
  }
  const info = await probe(path);
  const height = Math.min(HEIGHT, info.height);
  const width = Math.max(1, Math.round((info.width * height) / info.height));
  const every = Math.max(1, Math.floor(info.frames / PICTURES));
  const times: number[] = [];
  const frames: Uint8Array[] = [];
  for await (const batch of decodeVideo(path, { width, height, fit: 'stretch', allowDamaged: true }))
    for (let i = 0; i < batch.shape[0]; i++) {
      if ((batch.firstIndex + i) % every !== 0 || frames.length > 4 * PICTURES) continue;
      times.push(batch.times[i]!);
      frames.push(batch.data.slice(i * width * height * 3, (i + 1) * width * height * 3));
    }
  if (frames.length === 0)
    throw new OrreryError('data', `${path}: no picture can be decoded; take it out of the examples`);
  return { width, height, times, frames };
}

/** The part of an embedding that says how a clip looks, motion left out, as a unit vector. */
export function lookOf(embedding: readonly number[]): Float32Array {
  const look = Float32Array.from(embedding.slice(0, LOOK_SIZE));
  const norm = Math.sqrt(look.reduce((sum, v) => sum + v * v, 0)) || 1;
  return look.map((v) => v / norm);
}

/** The kind of most weight among the nearest examples: the closer, the more an example counts. */
export function kindOf(look: Float32Array, examples: readonly Example[]): { kind: string; share: number } {
  const near = examples
    .map((e) => ({ kind: e.kind, cosine: e.look.reduce((sum, v, i) => sum + v * look[i]!, 0) }))
    .sort((a, b) => b.cosine - a.cosine)
    .slice(0, NEIGHBOURS);
  const votes = new Map<string, number>();
  let total = 0;
  for (const { kind, cosine } of near) {
    // A distance of 0.1 counts a third of one of 0: the closest decide, not the number.
    const weight = Math.exp((cosine - near[0]!.cosine) / 0.09);
    votes.set(kind, (votes.get(kind) ?? 0) + weight);
    total += weight;
  }
  const [kind, weight] = [...votes].reduce((a, b) => (b[1] > a[1] ? b : a));
  return { kind, share: weight / total };
}
