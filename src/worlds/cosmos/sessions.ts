// Sessions of one component by shape: compiled at first use, the least recently used one dropped when there are too many.
import { compile } from '../../graph/index.ts';
import { openStaged, type Runtime, type Session } from '../../runtime/index.ts';
import type { Component } from './component.ts';
import type { Outputs } from './networks.ts';

/** A small store of loaded graphs. */
export type Sessions = {
  /** @param build the network's outputs, called when the graph is not loaded */
  get(key: string, build: () => Outputs): Promise<Session>;
  dispose(): Promise<void>;
};

/** Loads a graph with the component's weights, in the way that the component says. */
export async function loadGraph(
  runtime: Runtime,
  { weights, load = {}, widen, isStreamed = false, hasBlocks }: Omit<Component<unknown>, 'config'>,
  outputs: Outputs,
  name: string,
): Promise<Session> {
  const options = { weights, name, ...(widen === undefined ? {} : { widen }) };
  // Kernels for blocks need their own order; float32 weights would be there twice.
  const how = { ...load, isPacked: widen !== 'use' || hasBlocks === true };
  if (isStreamed) return openStaged(runtime, outputs, { ...options, ...how });
  return runtime.load(compile(outputs, options), how);
}

/**
 * @param name of the network, for its graphs
 * @param most sessions that stay loaded at a time; each holds its own packed weights. Default 3
 */
export function openSessions(runtime: Runtime, component: Component<unknown>, name: string, most = 3): Sessions {
  const loaded = new Map<string, Session>();
  return {
    async get(key, build) {
      const known = loaded.get(key);
      if (known !== undefined) {
        // Last in the map is the last used.
        loaded.delete(key);
        loaded.set(key, known);
        return known;
      }
      for (const [old, session] of loaded) {
        if (loaded.size < most) break;
        loaded.delete(old);
        await session.dispose();
      }
      const session = await loadGraph(runtime, component, build(), name);
      loaded.set(key, session);
      return session;
    },
    async dispose() {
      for (const session of loaded.values()) await session.dispose();
      loaded.clear();
    },
  };
}
