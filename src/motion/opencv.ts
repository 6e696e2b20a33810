// OpenCV's WASM build, loaded once when something needs it (13 MB, under a second). Geometry that it lacks is in geometry/.
import { createRequire } from 'node:module';
import type cvTypes from '@techstark/opencv-js';
import { OrreryError } from '../base/index.ts';

/** The module. Every `Mat` and detector that it makes must be deleted: use `withMats`. */
export type OpenCv = typeof cvTypes & { readonly AKAZE: new () => Akaze };

/** The detector as it is in the module; the package's types lack it. */
type Akaze = Deletable & {
  setThreshold(value: number): void;
  detectAndCompute(
    image: cvTypes.Mat,
    mask: cvTypes.Mat,
    keypoints: cvTypes.KeyPointVector,
    descriptors: cvTypes.Mat,
    useGiven: boolean,
  ): void;
};

let loading: Promise<OpenCv> | undefined;

/** The loaded module; the same one for every caller. */
export function openCv(): Promise<OpenCv> {
  loading ??= load();
  return loading;
}

async function load(): Promise<OpenCv> {
  let module: OpenCv & { then?: unknown };
  try {
    module = createRequire(import.meta.url)('@techstark/opencv-js') as OpenCv & { then?: unknown };
  } catch (cause) {
    throw new OrreryError(
      'unsupported',
      'OpenCV is not installed: run npm install @techstark/opencv-js@4.12.0-release.1',
      {
        cause,
      },
    );
  }
  // The module answers `then` until it is ready. A thenable returned from an async function is awaited for ever.
  if (typeof module.then !== 'function') return module;
  const ready = module;
  return new Promise((resolve) => {
    (ready.then as (done: (m: OpenCv & { then?: unknown }) => void) => void)((m) => {
      delete m.then;
      resolve(m);
    });
  });
}

/** Things with a `delete`, as OpenCV's are. */
type Deletable = { delete(): void };

/** Runs `use` with a keeper; everything given to it is deleted afterwards. */
export function withMats<T>(use: (keep: <M extends Deletable>(mat: M) => M) => T): T {
  const kept: Deletable[] = [];
  try {
    return use((mat) => {
      kept.push(mat);
      return mat;
    });
  } finally {
    for (const mat of kept) mat.delete();
  }
}
