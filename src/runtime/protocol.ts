// The messages between a runtime and its worker thread. Arrays travel as NdArray; buffers are moved where possible.
import type { ErrorCode, NdArray } from '../base/index.ts';

/** Where a graph runs. */
export type Device = 'cpu' | 'webgpu' | 'cuda';

export type LoadRequest = {
  readonly type: 'load';
  readonly session: number;
  readonly onnx: Uint8Array;
  readonly folder: string | undefined;
  readonly device: Device;
  readonly threads: number;
  readonly profile: string | undefined;
  readonly isPacked: boolean;
};

/** Where an output is written into a state array: rows `at` … of `axis`, the first `count` rows of the output. */
export type Append = {
  readonly state: string;
  readonly axis: number;
  readonly at: number;
  /** Default: all rows of the output. */
  readonly count?: number;
};

export type RunRequest = {
  readonly type: 'run';
  readonly session: number;
  readonly feeds: Readonly<Record<string, NdArray>>;
  /** Graph input → name of a state array kept in the worker. */
  readonly state: Readonly<Record<string, string>>;
  /** Graph outputs to send back. */
  readonly fetch: readonly string[];
  /** Graph output → state array that it replaces. */
  readonly keep: Readonly<Record<string, string>>;
  /** True: kept outputs are written over the memory of the state array that they replace (CPU). */
  readonly inPlace: boolean;
  /** Graph output → part of a state array that it overwrites. */
  readonly append: Readonly<Record<string, Append>>;
};

export type Request =
  | LoadRequest
  | RunRequest
  | { readonly type: 'unload'; readonly session: number }
  | { readonly type: 'setState'; readonly name: string; readonly value: NdArray }
  | { readonly type: 'getState'; readonly name: string }
  | { readonly type: 'dropState'; readonly name: string };

export type Reply =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | { readonly id: number; readonly ok: false; readonly code: ErrorCode; readonly message: string };
