// Sessions of one component by shape: compiled at first use, the least recently used one dropped when there are too many.
import type { CompiledGraph } from '../../graph/index.ts';
import type { LoadOptions, Runtime, Session } from '../../runtime/index.ts';

/** A small store of loaded graphs. */
export type Sessions = {
  get(key: string, build: () => CompiledGraph): Promise<Session>;
  dispose(): Promise<void>;
};

/** @param most sessions that stay loaded at a time; each holds its own packed weights. Default 3 */
export function openSessions(runtime: Runtime, load: LoadOptions = {}, most = 3): Sessions {
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
      const session = await runtime.load(build(), load);
      loaded.set(key, session);
      return session;
    },
    async dispose() {
      for (const session of loaded.values()) await session.dispose();
      loaded.clear();
    },
  };
}
