// RetinaFace with the public weights: safetensors, or the original .pth through the reader of the formats layer.
import { f32, type NdArray, OrreryError } from '../../base/index.ts';
import { compile, input } from '../../graph/index.ts';
import {
  BGR_MEAN,
  decodeBoxes,
  faceInput,
  facePriors,
  isUnusedRetinaFaceKey,
  listWeights,
  namedWeights,
  retinaFace,
  retinaFaceConfig,
  selectFaces,
} from '../../nets/index.ts';
import { openRuntime, type Session } from '../../runtime/index.ts';
import { readTensors } from '../weights.ts';
import type { FaceDetector } from './detector.ts';

export type RetinaDetectorOptions = {
  /** Default 0.7, as in the public guardrail. */
  readonly minScore?: number;
  readonly threads?: number;
};

/** Opens the detector with a weight file; keys are checked strictly. */
export function openRetinaDetector(path: string, options: RetinaDetectorOptions = {}): FaceDetector {
  const { minScore = 0.7, threads } = options;
  const weights = new Map<string, NdArray>();
  for (const [key, value] of readTensors(path)) {
    const plain = key.replace(/^module\./, '');
    if (!isUnusedRetinaFaceKey(plain)) weights.set(plain, value);
  }
  const config = retinaFaceConfig((key) => weights.get(key)?.shape);
  checkKeys(path, weights, config);
  const runtime = openRuntime(threads === undefined ? {} : { threads });
  const sessions = new Map<string, Promise<Session>>();
  return {
    name: 'retinaface',
    version: config.backbone,
    async detect(data, { width, height }) {
      const key = `${width}x${height}`;
      const session = sessions.get(key) ?? load(width, height);
      sessions.set(key, session);
      const part = width * height * 3;
      const priors = facePriors(height, width);
      const results = [];
      for (let at = 0; at < data.length; at += part) {
        const x = new Float32Array(part);
        faceInput(data.subarray(at, at + part), x, BGR_MEAN);
        const found = await (await session).run({ x: f32([1, 3, height, width], x) }, { moveFeeds: true });
        const boxes = decodeBoxes(found['loc']!.data as Float32Array, priors, height, width);
        const conf = found['conf']!.data as Float32Array;
        const scores = Float32Array.from({ length: priors.length / 4 }, (_, p) => conf[2 * p + 1]!);
        if (scores.some((s) => Number.isNaN(s))) throw new OrreryError('model', `${path}: the detector gave NaN`);
        results.push(
          selectFaces(boxes, scores, { minScore }).map((p) => {
            const [x1, y1, x2, y2] = boxes.subarray(4 * p, 4 * p + 4) as unknown as [number, number, number, number];
            return { x1, y1, x2, y2, score: scores[p]! };
          }),
        );
      }
      return results;
    },
    dispose: () => runtime.dispose(),
  };

  function load(width: number, height: number): Promise<Session> {
    const { loc, conf } = retinaFace(input('x', [1, 3, height, width]), config, namedWeights);
    const graph = compile(
      { loc, conf },
      { weights: (name) => ({ kind: 'value', value: weights.get(name)! }), name: 'retinaface' },
    );
    return runtime.load(graph);
  }
}

function checkKeys(
  path: string,
  weights: ReadonlyMap<string, NdArray>,
  config: ReturnType<typeof retinaFaceConfig>,
): void {
  const specs = listWeights((w) => retinaFace(input('x', [1, 3, 64, 64]), config, w));
  const wrong = specs.filter(({ key, shape }) => weights.get(key)?.shape.join() !== shape.join());
  const names = new Set(specs.map((s) => s.key));
  const extra = [...weights.keys()].filter((key) => !names.has(key));
  if (wrong.length === 0 && extra.length === 0) return;
  const first = wrong[0]?.key ?? extra[0]!;
  throw new OrreryError(
    'model',
    `${path}: ${wrong.length} weights are missing or misshapen and ${extra.length} unknown, first ${first}; need a RetinaFace file of mobilenet0.25 or Resnet50`,
  );
}
