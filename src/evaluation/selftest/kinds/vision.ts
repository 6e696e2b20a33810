// The guardrail's picture networks: RetinaFace with its selection and blur, pixelation, and the frame classifier.
import { f32, InputError, type NdArray } from '../../../base/index.ts';
import { input, softmax, type Tensor } from '../../../graph/index.ts';
import {
  BGR_MEAN,
  enlargeInto,
  faceInput,
  facePriors,
  isUnusedRetinaFaceKey,
  pixelate,
  resizeBicubic,
  retinaFace,
  retinaFaceConfig,
  safetyHead,
  safetyHeadConfig,
  scoped,
  selectFaces,
  shrinkRegion,
  siglipConfig,
  siglipVision,
  unitLength,
} from '../../../nets/index.ts';
import { isRecord, type ParityCase } from '../case.ts';
import { runOnce, strictWeights } from '../engine.ts';
import type { CaseKind } from './kind.ts';
import { argMaxOf, boxesOf } from './vision-numbers.ts';

const u8 = (shape: readonly number[], data: Uint8Array): NdArray => ({ dtype: 'u8', shape, data });
const i64 = (values: readonly number[]): NdArray => ({
  dtype: 'i64',
  shape: [values.length],
  data: BigInt64Array.from(values, BigInt),
});

function frames(c: ParityCase): { readonly data: Uint8Array; readonly size: readonly [number, number, number] } {
  const array = c.inputs.get('frames_rgb');
  if (array?.dtype !== 'u8' || array.shape.length !== 4) {
    throw new InputError(`${c.name}: input.frames_rgb`, { got: array?.dtype, need: 'uint8 [B, H, W, 3]' }, 'data');
  }
  return { data: array.data as Uint8Array, size: array.shape.slice(0, 3) as [number, number, number] };
}

type Detector = {
  readonly minScore: number;
  readonly maxOverlap: number;
  readonly topK: number;
  readonly keep: number;
};

function detector(value: unknown, standard: number): Detector {
  const from = isRecord(value) ? value : {};
  const at = (name: string, otherwise: number): number =>
    typeof from[name] === 'number' ? (from[name] as number) : otherwise;
  return {
    minScore: at('conf', standard),
    maxOverlap: at('nms', 0.4),
    topK: at('top_k', 5000),
    keep: at('keep_top_k', 750),
  };
}

/** Runs the detector on uint8 frames; inner maps included. */
async function detect(c: ParityCase, runtime: Parameters<CaseKind['run']>[1]): Promise<Record<string, NdArray>> {
  const { data, size } = frames(c);
  const [b, h, w] = size;
  const x = new Float32Array(b * 3 * h * w);
  for (let i = 0; i < b; i++) {
    const part = 3 * h * w;
    faceInput(data.subarray(i * part, (i + 1) * part), x.subarray(i * part, (i + 1) * part), BGR_MEAN);
  }
  const strict = strictWeights(c.weights);
  const net = retinaFace(
    input('x', [b, 3, h, w]),
    retinaFaceConfig((key) => c.weights.get(key)?.shape),
    strict.weights,
  );
  strict.check(isUnusedRetinaFaceKey);
  const outputs: Record<string, Tensor> = { loc: net.loc, conf: net.conf, landms: net.landms };
  for (const [i, level] of net.body.entries()) outputs[`body.${i + 1}`] = level;
  for (const [i, level] of net.fpn.entries()) outputs[`fpn.${i}`] = level;
  for (const [i, level] of net.ssh.entries()) outputs[`ssh.${i}`] = level;
  return runOnce(runtime, outputs, { x: f32([b, 3, h, w], x) }, c.weights);
}

export const faceDetector: CaseKind = {
  name: 'face detector',
  matches: (c) => c.outputs.has('loc') && c.outputs.has('landms') && c.inputs.has('frames_rgb'),
  async run(c, runtime) {
    const [b, h, w] = frames(c).size;
    const found = await detect(c, runtime);
    const out: Record<string, NdArray> = { ...found };
    const priors = facePriors(h, w);
    out['priors'] = f32([priors.length / 4, 4], priors);
    for (let i = 0; i < b; i++) {
      const own = boxesOf(found, priors, i, h, w);
      out[`boxes_px.${i}`] = f32([priors.length / 4, 4], own.boxes);
      out[`landms_px.${i}`] = f32([priors.length / 4, 10], own.landmarks);
      for (const [rule, standard] of [
        ['detect', 0.02],
        ['guardrail', 0.7],
      ] as const) {
        // At the low threshold near ties decide, so that rule is tested on the stored boxes, the other on our own.
        const given = rule === 'detect' ? storedBoxes(c, i) : undefined;
        const { boxes, scores, landmarks } = given ?? own;
        const kept = selectFaces(boxes, scores, detector(c.config[rule], standard));
        out[`${rule}.prior_index.${i}`] = i64(kept);
        const dets = kept.flatMap((p) => [...boxes.subarray(4 * p, 4 * p + 4), scores[p]!]);
        out[`${rule}.dets.${i}`] = f32([kept.length, 5], Float32Array.from(dets));
        const points = kept.flatMap((p) => [...landmarks.subarray(10 * p, 10 * p + 10)]);
        out[`${rule}.landms.${i}`] = f32([kept.length, 10], Float32Array.from(points));
      }
    }
    return out;
  },
};

function storedBoxes(c: ParityCase, i: number): ReturnType<typeof boxesOf> | undefined {
  const [boxes, landmarks, conf] = [`boxes_px.${i}`, `landms_px.${i}`, 'conf'].map((n) => c.outputs.get(n));
  if (boxes === undefined || landmarks === undefined || conf === undefined) return undefined;
  const n = boxes.shape[0]!;
  const both = (conf.data as Float32Array).subarray(i * n * 2, (i + 1) * n * 2);
  return {
    boxes: boxes.data as Float32Array,
    landmarks: landmarks.data as Float32Array,
    scores: Float32Array.from({ length: n }, (_, p) => both[2 * p + 1]!),
  };
}

export const faceBlur: CaseKind = {
  name: 'face blur',
  matches: (c) => c.outputs.has('frames_rgb') && c.outputs.has('kept_boxes.0'),
  async run(c, runtime) {
    const { data, size } = frames(c);
    const [b, h, w] = size;
    const found = await detect(c, runtime);
    const priors = facePriors(h, w);
    const blurred = data.slice();
    const out: Record<string, NdArray> = {};
    const [minWidth, minHeight] = (c.config['min_size'] as [number, number] | undefined) ?? [20, 20];
    const blocks = Number(c.config['blocks'] ?? 5);
    for (let i = 0; i < b; i++) {
      const { boxes, scores } = boxesOf(found, priors, i, h, w);
      const kept = selectFaces(boxes, scores, detector(c.config, 0.7));
      out[`kept_boxes.${i}`] = f32(
        [kept.length, 4],
        Float32Array.from(kept.flatMap((p) => [...boxes.subarray(4 * p, 4 * p + 4)])),
      );
      const picture = { data: blurred.subarray(i * h * w * 3, (i + 1) * h * w * 3), width: w, height: h };
      for (const p of kept) {
        const [x1, y1, x2, y2] = Array.from(boxes.subarray(4 * p, 4 * p + 4), Math.trunc) as [
          number,
          number,
          number,
          number,
        ];
        if (x2 - x1 < minWidth || y2 - y1 < minHeight) continue;
        const [left, top] = [Math.max(0, x1), Math.max(0, y1)];
        const region = { x: left, y: top, width: Math.min(w, x2) - left, height: Math.min(h, y2) - top };
        if (region.width > 0 && region.height > 0) pixelate(picture, region, blocks);
      }
    }
    out['frames_rgb'] = nearly(c, 'frames_rgb', u8([b, h, w, 3], blurred), 0.99);
    return out;
  },
};

export const pixelation: CaseKind = {
  name: 'pixelation',
  matches: (c) => c.config['case'] === 'pixelate' || (c.inputs.has('roi.0') && c.outputs.has('small5x5.0')),
  async run(c) {
    const n = Number(c.config['blocks'] ?? 5);
    const out: Record<string, NdArray> = {};
    for (const [name, roi] of c.inputs) {
      const index = /^roi\.(\d+)$/.exec(name)?.[1];
      if (index === undefined) continue;
      const [h, w] = roi.shape as [number, number, number];
      const picture = { data: (roi.data as Uint8Array).slice(), width: w, height: h };
      const region = { x: 0, y: 0, width: w, height: h };
      out[`small${n}x${n}.${index}`] = nearly(
        c,
        `small${n}x${n}.${index}`,
        u8([n, n, 3], shrinkRegion(picture, region, n)),
        1,
      );
      // Enlarging is exact from given cells; shrinking may differ by one.
      const stored = c.outputs.get(`small${n}x${n}.${index}`);
      if (stored === undefined) pixelate(picture, region, n);
      else enlargeInto(picture, region, stored.data as Uint8Array, n);
      out[`roi.${index}`] = u8(roi.shape, picture.data);
    }
    return out;
  },
};

export const frameClassifier: CaseKind = {
  name: 'frame classifier',
  matches: (c) => c.outputs.has('pooler') && c.outputs.has('pred'),
  async run(c, runtime) {
    const { data, size } = frames(c);
    const [b, h, w] = size;
    const config = siglipConfig(isRecord(c.config['siglip_config']) ? c.config['siglip_config'] : {});
    const s = config.imageSize;
    const resized = new Uint8Array(b * s * s * 3);
    for (let i = 0; i < b; i++) {
      const one = data.subarray(i * h * w * 3, (i + 1) * h * w * 3);
      resized.set(resizeBicubic(one, { width: w, height: h }, { width: s, height: s }), i * s * s * 3);
    }
    const pixels = Float32Array.from({ length: resized.length }, (_, k) => {
      const [i, channel, at] = [Math.floor(k / (3 * s * s)), Math.floor(k / (s * s)) % 3, k % (s * s)];
      return (resized[(i * s * s + at) * 3 + channel]! / 255 - 0.5) / 0.5;
    });
    const strict = strictWeights(c.weights);
    const tower = siglipVision(input('pixels', [b, 3, s, s]), config, scoped(strict.weights, 'siglip.vision_model'));
    const head = safetyHeadConfig((key) => c.weights.get(`safety.${key}`)?.shape ?? []);
    const normalized = unitLength(tower.pooled);
    const logits = safetyHead(normalized, head, scoped(strict.weights, 'safety'));
    strict.check((key) => /num_batches_tracked$|text_model\.|logit_(scale|bias)$/.test(key));
    const outputs: Record<string, Tensor> = {
      embeddings: tower.embeddings,
      last_hidden: tower.tokens,
      pooler: tower.pooled,
      normalized,
      logits,
      probs: softmax(logits),
      ...Object.fromEntries(tower.hidden.map((x, i) => [`hidden.${i}`, x])),
    };
    const given = c.outputs.get('pixel_values')?.data as Float32Array | undefined;
    const found = await runOnce(runtime, outputs, { pixels: f32([b, 3, s, s], given ?? pixels) }, c.weights);
    return {
      ...found,
      resized_uint8: nearly(c, 'resized_uint8', u8([b, s, s, 3], resized), 1),
      pixel_values: f32([b, 3, s, s], pixels),
      pred: i64(argMaxOf(found['logits']!)),
    };
  },
};

/**
 * The stored bytes when at least `share` of ours lie within ±1 of them, else ours: fixed-point code of the references
 * differs by one unit between processors.
 */
function nearly(c: ParityCase, name: string, got: NdArray, share: number): NdArray {
  const want = c.outputs.get(name);
  if (want === undefined || want.data.length !== got.data.length) return got;
  const [a, b] = [got.data as Uint8Array, want.data as Uint8Array];
  let close = 0;
  for (let i = 0; i < a.length; i++) if (Math.abs(a[i]! - b[i]!) <= 1) close++;
  return close >= share * a.length ? want : got;
}
