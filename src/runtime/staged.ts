// A session whose weights do not stay in memory: the graph runs piece by piece, each loaded just before it runs and dropped after it.
// The files of the next pieces are read ahead meanwhile.
import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { DTYPE_BYTES, type NdArray, sizeOf, throwIfAborted } from '../base/index.ts';
import { blockBytes } from '../formats/index.ts';
import {
  type CompiledGraph,
  type CompileOptions,
  compile,
  cutStages,
  type Tensor,
  type TensorType,
  type WeightSource,
} from '../graph/index.ts';
import type { LoadOptions, RunOptions, Runtime, Session } from './runtime.ts';

export type StagedOptions = LoadOptions &
  Omit<CompileOptions, 'weights'> & {
    readonly weights: (name: string, type: TensorType) => WeightSource;
    /** Bytes of weights in memory at a time. Default `STAGE_BYTES`. */
    readonly stageBytes?: number;
  };

/** Bytes of weights that are in memory at a time, unless told otherwise. */
export const STAGE_BYTES = 600e6;

/** Makes a session that reads its weights anew in every run. Gives the same results as one that holds them. */
export function openStaged(
  runtime: Runtime,
  outputs: Readonly<Record<string, Tensor>>,
  { stageBytes = STAGE_BYTES, folder, profile: _profile, isPacked, weights, ...options }: StagedOptions,
): Session {
  const sources = new Map<string, WeightSource>();
  const sourceOf = (name: string, type: TensorType): WeightSource => {
    const known = sources.get(name) ?? weights(name, type);
    sources.set(name, known);
    return known;
  };
  const pieces = cutStages(outputs, {
    maxBytes: stageBytes,
    weightBytes: (name, type) => storedBytes(sourceOf(name, type), type),
  });
  const stages = pieces.map((piece) => compile(piece.outputs, { ...options, weights: sourceOf }));
  const places = pieces.map((piece) => [...piece.weights].flatMap(([name, type]) => placesOf(sourceOf(name, type))));
  const load = { ...(folder === undefined ? {} : { folder }), ...(isPacked === undefined ? {} : { isPacked }) };
  /** The graph as a whole, for callers that ask for its inputs and outputs. */
  const graph: CompiledGraph = {
    onnx: new Uint8Array(0),
    inputs: [
      ...new Map(
        stages
          .flatMap((s) => s.inputs)
          .filter((i) => !isCut(i.name))
          .map((i) => [i.name, i]),
      ).values(),
    ],
    outputs: Object.keys(outputs).map((name) => stages.flatMap((s) => s.outputs).find((o) => o.name === name)!),
    files: [...new Set(stages.flatMap((s) => s.files))],
    nodes: stages.reduce((n, s) => n + s.nodes, 0),
    operators: {},
  };
  const lastUse = new Map<string, number>();
  for (const [i, stage] of stages.entries()) for (const { name } of stage.inputs) if (isCut(name)) lastUse.set(name, i);

  async function run(feeds: Readonly<Record<string, NdArray>>, o: RunOptions = {}): Promise<Record<string, NdArray>> {
    const { state = {}, keep = {}, append = {}, signal } = o;
    // Of this run alone: runs of several sessions may share the runtime.
    const prefix = `staged-${randomUUID()}`;
    const wanted =
      o.fetch ?? graph.outputs.map(({ name }) => name).filter((n) => keep[n] === undefined && append[n] === undefined);
    const results: Record<string, NdArray> = {};
    const held = new Set<string>();
    const pick = <T>(from: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> =>
      Object.fromEntries(names.filter((n) => from[n] !== undefined).map((n) => [n, from[n]!]));
    try {
      for (const [i, stage] of stages.entries()) {
        throwIfAborted(signal);
        const ins = stage.inputs.map(({ name }) => name);
        const outs = stage.outputs.map(({ name }) => name);
        const ahead = readAhead(folder, places[i + 1] ?? []);
        await using session = await runtime.load(stage, load);
        const cuts = (names: readonly string[]): Record<string, string> =>
          Object.fromEntries(names.filter(isCut).map((n) => [n, `${prefix}.${n}`]));
        for (const n of outs) if (isCut(n)) held.add(n);
        Object.assign(
          results,
          await session.run(pick(feeds, ins), {
            ...(signal === undefined ? {} : { signal }),
            state: { ...pick(state, ins), ...cuts(ins) },
            keep: { ...pick(keep, outs), ...cuts(outs) },
            append: pick(append, outs),
            fetch: outs.filter((n) => wanted.includes(n)),
          }),
        );
        for (const n of ins) {
          if (!isCut(n) || lastUse.get(n) !== i) continue;
          held.delete(n);
          await runtime.dropState(`${prefix}.${n}`);
        }
        await ahead;
      }
    } finally {
      for (const n of held) await runtime.dropState(`${prefix}.${n}`);
    }
    return results;
  }
  const dispose = async (): Promise<void> => {};
  return { graph, run, dispose, [Symbol.asyncDispose]: dispose };
}

type Place = { readonly file: string; readonly offset: number; readonly length: number };

function placesOf(source: WeightSource): Place[] {
  if (source.kind === 'blocks') return [...placesOf(source.packed), ...placesOf(source.scales)];
  return source.kind === 'file' ? [source] : [];
}

const AHEAD_BYTES = 1 << 22;

/** Reads parts of files so that the system has them when they are mapped. Failing costs time only: the run itself reports it. */
async function readAhead(folder: string | undefined, places: readonly Place[]): Promise<void> {
  if (folder === undefined || places.length === 0) return;
  const scratch = new Uint8Array(AHEAD_BYTES);
  const byFile = new Map<string, Place[]>();
  for (const place of places) byFile.set(place.file, [...(byFile.get(place.file) ?? []), place]);
  for (const [file, parts] of byFile) {
    try {
      await using handle = await open(join(folder, file));
      for (const { offset, length } of parts.sort((a, b) => a.offset - b.offset)) {
        for (let at = 0; at < length; at += AHEAD_BYTES) {
          await handle.read(scratch, 0, Math.min(AHEAD_BYTES, length - at), offset + at);
        }
      }
    } catch {
      return;
    }
  }
}

const isCut = (name: string): boolean => /^cut\.\d+$/.test(name);

function storedBytes(source: WeightSource, type: TensorType): number {
  const size = sizeOf(type.shape);
  if (source.kind === 'blocks') return blockBytes(size, source);
  if (source.kind === 'file') return source.length;
  return source.kind === 'value' ? size * DTYPE_BYTES[source.value.dtype] : 0;
}
