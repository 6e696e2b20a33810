// Runs one network of a case: builds the graph with the case's weights, checks the keys, runs it once per request.
import { type NdArray, OrreryError, show } from '../../base/index.ts';
import { compile, input, param, type Tensor } from '../../graph/index.ts';
import type { Weights } from '../../nets/index.ts';
import type { Runtime } from '../../runtime/index.ts';

/** Weight look-up over a case's tensors that remembers what was asked for. */
export type StrictWeights = {
  readonly weights: Weights;
  /** The symbolic weight of a key that was asked for; one per key, so that gradients find it. */
  param(key: string): Tensor;
  /** Throws when the network asked for absent keys or other shapes, or the file holds keys that nobody asked for. */
  check(isUnused?: (key: string) => boolean): void;
};

/** Strict look-up. */
export function strictWeights(file: ReadonlyMap<string, NdArray>): StrictWeights {
  const asked = new Map<string, Tensor>();
  return {
    weights: (key, shape) => {
      const tensor = asked.get(key) ?? param(key, shape);
      asked.set(key, tensor);
      return tensor;
    },
    param(key) {
      const tensor = asked.get(key);
      if (tensor === undefined) throw new OrreryError('model', `the network has no weight ${show(key)}`);
      return tensor;
    },
    check(isUnused = () => false) {
      const missing = [...asked.keys()].filter((key) => !file.has(key));
      const extra = [...file.keys()].filter((key) => !asked.has(key) && !isUnused(key));
      const wrong = [...asked].filter(
        ([key, { shape }]) => file.has(key) && file.get(key)!.shape.join() !== shape.join(),
      );
      const problems = [
        ...missing.slice(0, 3).map((key) => `${key} is missing`),
        ...extra.slice(0, 3).map((key) => `${key} is not part of the network`),
        ...wrong.slice(0, 3).map(([key, { shape }]) => `${key} is [${file.get(key)!.shape}], need [${shape}]`),
      ];
      if (problems.length === 0) return;
      const total = missing.length + extra.length + wrong.length;
      throw new OrreryError('model', `${total} weight keys do not fit: ${problems.join('; ')}`);
    },
  };
}

/** A network bound to its weights, ready to run. */
export type LoadedNet = {
  run(feeds: Readonly<Record<string, NdArray>>): Promise<Record<string, NdArray>>;
  dispose(): Promise<void>;
};

/** Symbolic inputs for arrays of the same names. */
export function inputsFor<K extends string>(feeds: Readonly<Record<K, NdArray>>): Record<K, Tensor> {
  const entries = Object.entries<NdArray>(feeds).map(([name, a]) => [name, input(name, a.shape, a.dtype)]);
  return Object.fromEntries(entries) as Record<K, Tensor>;
}

/** Compiles and loads named outputs with the case's weights inside. */
export async function loadNet(
  runtime: Runtime,
  outputs: Readonly<Record<string, Tensor>>,
  file: ReadonlyMap<string, NdArray>,
): Promise<LoadedNet> {
  const graph = compile(outputs, {
    weights: (name) => {
      const value = file.get(name);
      if (value === undefined) throw new OrreryError('model', `no weight ${show(name)}`);
      return { kind: 'value', value };
    },
  });
  const session = await runtime.load(graph);
  const used = new Set(graph.inputs.map((i) => i.name));
  return {
    run: (feeds) => session.run(Object.fromEntries(Object.entries(feeds).filter(([name]) => used.has(name)))),
    dispose: () => session.dispose(),
  };
}

/** Builds, loads, runs once and unloads. */
export async function runOnce(
  runtime: Runtime,
  outputs: Readonly<Record<string, Tensor>>,
  feeds: Readonly<Record<string, NdArray>>,
  file: ReadonlyMap<string, NdArray> = new Map(),
): Promise<Record<string, NdArray>> {
  const net = await loadNet(runtime, outputs, file);
  try {
    return await net.run(feeds);
  } finally {
    await net.dispose();
  }
}
