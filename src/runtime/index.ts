// Layer 2: running compiled graphs on a device.
export { cachedGraph, cacheFolder, type GraphCacheOptions, type GraphKey } from './cache.ts';
export { deviceProblem, requireDevice } from './device.ts';
export { availableMemory, estimateMemory, type MemoryNeed, requireMemory } from './memory.ts';
export type { Device } from './protocol.ts';
export {
  type LoadOptions,
  openRuntime,
  type RunOptions,
  type Runtime,
  type RuntimeOptions,
  type Session,
} from './runtime.ts';
export { openStaged, STAGE_BYTES, type StagedOptions } from './staged.ts';
