// Layer 2: running compiled graphs on a device.
export type { Device } from './protocol.ts';
export {
  type LoadOptions,
  openRuntime,
  type RunOptions,
  type Runtime,
  type RuntimeOptions,
  type Session,
} from './runtime.ts';
