// The default face detector: weights of the package @vladmandic/face-api, read from where npm put them, run by our engine.
// Frontal and half-turned faces from about 20 pixels; best effort, not a promise.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { f32, type NdArray, OrreryError, sizeOf } from '../../base/index.ts';
import { compile, input } from '../../graph/index.ts';
import { resizeFrames } from '../../media/index.ts';
import { decodeSmallFaces, namedWeights, SMALL_FACE_MEAN, smallFaceNet } from '../../nets/index.ts';
import { openRuntime, type Session } from '../../runtime/index.ts';
import type { FaceDetector } from './detector.ts';

export const SMALL_DETECTOR_PACKAGE = '@vladmandic/face-api';

/** Folder of the package's models, or undefined when it is not installed. */
export function smallDetectorFolder(): string | undefined {
  try {
    const main = createRequire(import.meta.url).resolve(`${SMALL_DETECTOR_PACKAGE}/package.json`);
    return join(dirname(main), 'model');
  } catch {
    return undefined;
  }
}

type Entry = {
  readonly name: string;
  readonly shape: readonly number[];
  readonly quantization: { readonly scale: number; readonly min: number };
};

/** Reads the quantised weights and puts kernels into channels-first order. */
function readWeights(folder: string): Map<string, NdArray> {
  const file = join(folder, 'tiny_face_detector_model');
  const manifest = JSON.parse(readFileSync(`${file}-weights_manifest.json`, 'utf8')) as [{ weights: Entry[] }];
  const bytes = readFileSync(`${file}.bin`);
  const weights = new Map<string, NdArray>();
  let at = 0;
  for (const { name, shape, quantization } of manifest[0].weights) {
    const size = sizeOf(shape);
    if (at + size > bytes.length)
      throw new OrreryError('model', `${file}.bin is cut off; install ${SMALL_DETECTOR_PACKAGE} again`);
    const values = Float32Array.from(bytes.subarray(at, at + size), (v) => v * quantization.scale + quantization.min);
    at += size;
    weights.set(name.replace('/', '.'), shape.length === 4 ? channelsFirst(values, shape, name) : f32(shape, values));
  }
  return weights;
}

/** [kh, kw, in, out] → [out, in, kh, kw]; depthwise [kh, kw, in, 1] → [in, 1, kh, kw]. */
function channelsFirst(values: Float32Array, shape: readonly number[], name: string): NdArray {
  const [kh, kw, ins, outs] = shape as [number, number, number, number];
  const isDepthwise = name.endsWith('depthwise_filter');
  const out = new Float32Array(values.length);
  for (let y = 0; y < kh; y++) {
    for (let x = 0; x < kw; x++) {
      for (let i = 0; i < ins; i++) {
        for (let o = 0; o < outs; o++) {
          const to = isDepthwise ? (i * kh + y) * kw + x : ((o * ins + i) * kh + y) * kw + x;
          out[to] = values[((y * kw + x) * ins + i) * outs + o]!;
        }
      }
    }
  }
  return f32(isDepthwise ? [ins, 1, kh, kw] : [outs, ins, kh, kw], out);
}

export type SmallDetectorOptions = {
  /** Default 0.4: misses cost more than a blurred lamp. */
  readonly minScore?: number;
  /** Larger frames are looked at in this width. Default 640. */
  readonly maxWidth?: number;
  readonly threads?: number;
};

/** Opens the detector; throws when the package is missing. */
export function openSmallDetector(options: SmallDetectorOptions = {}): FaceDetector {
  const { minScore = 0.4, maxWidth = 640, threads } = options;
  const folder = smallDetectorFolder();
  if (folder === undefined) {
    throw new OrreryError(
      'model',
      `no face detector: npm install ${SMALL_DETECTOR_PACKAGE}, or give RetinaFace weights in the policy`,
    );
  }
  // Read when the first picture comes: opening a guardrail must stay cheap for those who only check a prompt.
  let weights: ReadonlyMap<string, NdArray> | undefined;
  const runtime = openRuntime(threads === undefined ? {} : { threads });
  const sessions = new Map<string, Promise<Session>>();
  const sessionFor = (width: number, height: number): Promise<Session> => {
    const key = `${width}x${height}`;
    let session = sessions.get(key);
    if (session === undefined) {
      weights ??= readWeights(folder);
      const known = weights;
      const grid = smallFaceNet(input('x', [1, 3, height, width]), namedWeights);
      const graph = compile(
        { grid },
        { weights: (name) => ({ kind: 'value', value: known.get(name)! }), name: 'small-face' },
      );
      session = runtime.load(graph);
      sessions.set(key, session);
    }
    return session;
  };
  return {
    name: 'small',
    version: '1',
    async detect(data, { width, height }) {
      const count = data.length / (width * height * 3);
      const scale = Math.min(1, maxWidth / width);
      const near = (v: number): number => Math.max(64, Math.round((v * scale) / 32) * 32);
      const [w, h] = [near(width), near(height)];
      const frames = { dtype: 'u8', shape: [count, height, width, 3], data } as const;
      const small =
        w === width && h === height ? frames : await resizeFrames(frames, { width: w, height: h, fit: 'stretch' });
      const session = await sessionFor(w, h);
      const results = [];
      for (let i = 0; i < count; i++) {
        const x = networkInput(small.data.subarray(i * w * h * 3, (i + 1) * w * h * 3));
        const { grid } = await session.run({ x: f32([1, 3, h, w], x) }, { moveFeeds: true });
        const [, , gh, gw] = grid!.shape as [number, number, number, number];
        const boxes = decodeSmallFaces(grid!.data as Float32Array, gh, gw, { minScore, maxOverlap: 0.4 });
        results.push(
          boxes.map((b) => ({
            x1: b.x1 * width,
            y1: b.y1 * height,
            x2: b.x2 * width,
            y2: b.y2 * height,
            score: b.score,
          })),
        );
      }
      return results;
    },
    dispose: () => runtime.dispose(),
  };
}

function networkInput(rgb: Uint8Array): Float32Array {
  const n = rgb.length / 3;
  const x = new Float32Array(rgb.length);
  for (let c = 0; c < 3; c++) {
    const mean = SMALL_FACE_MEAN[c]!;
    for (let i = 0; i < n; i++) x[c * n + i] = (rgb[3 * i + c]! - mean) / 255;
  }
  return x;
}
