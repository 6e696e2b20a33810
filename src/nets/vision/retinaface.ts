// RetinaFace (Deng et al. 2019) in the layout of the public PyTorch checkpoints, with either backbone. Builds the graph only;
// boxes come out of `face-boxes.ts`. Frames go in at native size: blue, green, red, each minus its mean.
import {
  add,
  concat,
  constantInts,
  conv,
  gather,
  maximum,
  pad,
  relu,
  reshape,
  slice,
  softmax,
  type Tensor,
  transpose,
} from '../../graph/index.ts';
import { scoped, type Weights } from '../orrery/weights.ts';
import { convNorm, leakyRelu } from './batch-norm.ts';

/** Mean of the channels in the order blue, green, red. */
export const BGR_MEAN = [104, 117, 123] as const;

export type RetinaFaceConfig = {
  /** The public checkpoints: MobileNet ×0.25 or ResNet-50. */
  readonly backbone: 'mobilenet0.25' | 'resnet50';
  /** Width of the pyramid, its context modules and heads: 64 or 256 in the public files (out_channel). */
  readonly width: number;
  /** First width of the ResNet; 64 in the public file. */
  readonly baseWidth?: number;
};

/** Raw network results and inner maps, fine level first. */
export type RetinaFaceOutputs = {
  readonly body: readonly Tensor[];
  readonly fpn: readonly Tensor[];
  readonly ssh: readonly Tensor[];
  /** Box offsets [B, P, 4]. */
  readonly loc: Tensor;
  /** Probabilities background, face [B, P, 2]. */
  readonly conf: Tensor;
  /** Landmark offsets [B, P, 10]. */
  readonly landms: Tensor;
};

/** Finds faces in frames x [B, 3, H, W] (blue, green, red minus `BGR_MEAN`). */
export function retinaFace(x: Tensor, c: RetinaFaceConfig, weights: Weights): RetinaFaceOutputs {
  const at = scoped(weights, 'body');
  const body = c.backbone === 'resnet50' ? resnet50(x, c.baseWidth ?? 64, at) : mobileNet(x, at);
  const fpn = pyramid(body, c.width, scoped(weights, 'fpn'));
  const ssh = fpn.map((level, i) => contextModule(level, scoped(weights, `ssh${i + 1}`)));
  const heads = (name: string, k: number): Tensor =>
    concat(
      ssh.map((level, i) => head(level, k, scoped(weights, `${name}.${i}.conv1x1`))),
      1,
    );
  return {
    body,
    fpn,
    ssh,
    loc: heads('BboxHead', 4),
    conf: softmax(heads('ClassHead', 2)),
    landms: heads('LandmarkHead', 10),
  };
}

/** The rule of FPN and SSH: LeakyReLU 0.1 at small widths, ReLU above. */
const slopeOf = (width: number): number => (width <= 64 ? 0.1 : 0);

/** MobileNet v1 (Howard et al. 2017) at width 0.25: taps at 1/8, 1/16 and 1/32 of the size. */
function mobileNet(x: Tensor, weights: Weights): Tensor[] {
  const stages: readonly (readonly [out: number, stride: number])[][] = [
    [
      [16, 1],
      [32, 2],
      [32, 1],
      [64, 2],
      [64, 1],
    ],
    [
      [128, 2],
      [128, 1],
      [128, 1],
      [128, 1],
      [128, 1],
      [128, 1],
    ],
    [
      [256, 2],
      [256, 1],
    ],
  ];
  const stem = scoped(weights, 'stage1.0');
  let y = leakyRelu(
    convNorm(x, { conv: scoped(stem, '0'), norm: scoped(stem, '1'), out: 8, kernel: 3, stride: 2 }),
    0.1,
  );
  return stages.map((blocks, s) => {
    for (const [i, [out, stride]] of blocks.entries()) {
      const w = scoped(weights, `stage${s + 1}.${s === 0 ? i + 1 : i}`);
      const deep = {
        conv: scoped(w, '0'),
        norm: scoped(w, '1'),
        out: y.shape[1]!,
        kernel: 3,
        stride,
        isDepthwise: true,
      };
      y = leakyRelu(convNorm(y, deep), 0.1);
      y = leakyRelu(convNorm(y, { conv: scoped(w, '3'), norm: scoped(w, '4'), out, kernel: 1 }), 0.1);
    }
    return y;
  });
}

/** ResNet-50 (He et al. 2016) with the stride in the 3×3 convolution: taps at 1/8, 1/16 and 1/32. */
function resnet50(x: Tensor, base: number, weights: Weights): Tensor[] {
  const stem = { conv: scoped(weights, 'conv1'), norm: scoped(weights, 'bn1'), out: base, kernel: 7, stride: 2 };
  let y = maxPool3(relu(convNorm(x, stem)));
  const taps: Tensor[] = [];
  for (const [s, count] of [3, 4, 6, 3].entries()) {
    for (let i = 0; i < count; i++) {
      y = bottleneck(y, base * 2 ** s, s > 0 && i === 0 ? 2 : 1, i === 0, scoped(weights, `layer${s + 1}.${i}`));
    }
    if (s > 0) taps.push(y);
  }
  return taps;
}

function bottleneck(x: Tensor, width: number, stride: number, hasShortcut: boolean, w: Weights): Tensor {
  const unit = (y: Tensor, n: number, out: number, kernel: number, s = 1): Tensor =>
    convNorm(y, { conv: scoped(w, `conv${n}`), norm: scoped(w, `bn${n}`), out, kernel, stride: s });
  const y = unit(relu(unit(relu(unit(x, 1, width, 1)), 2, width, 3, stride)), 3, width * 4, 1);
  const down = { conv: scoped(w, 'downsample.0'), norm: scoped(w, 'downsample.1'), out: width * 4, kernel: 1, stride };
  return relu(add(y, hasShortcut ? convNorm(x, down) : x));
}

/** Largest of every 3×3 window at stride 2, one pixel of padding; x ≥ 0, so zeros pad. */
function maxPool3(x: Tensor): Tensor {
  const along = (y: Tensor, axis: number): Tensor => {
    const size = Math.floor((y.shape[axis]! - 1) / 2) + 1;
    const room = y.shape.map((_, i) => (i === axis ? 1 : 0));
    const padded = pad(y, { before: room, after: room });
    const [a, b, c] = [0, 1, 2].map((k) => slice(padded, axis, k, size, 2)) as [Tensor, Tensor, Tensor];
    return maximum(maximum(a, b), c);
  };
  return along(along(x, 2), 3);
}

/** Feature pyramid: the coarse maps are added to the finer ones; the coarsest is not merged. */
function pyramid(taps: readonly Tensor[], width: number, weights: Weights): Tensor[] {
  const slope = slopeOf(width);
  const unit = (x: Tensor, name: string, kernel: number): Tensor => {
    const w = scoped(weights, name);
    return leakyRelu(convNorm(x, { conv: scoped(w, '0'), norm: scoped(w, '1'), out: width, kernel }), slope);
  };
  const [p1, p2, p3] = taps.map((tap, i) => unit(tap, `output${i + 1}`, 1)) as [Tensor, Tensor, Tensor];
  const middle = unit(add(p2, resizeNearest(p3, p2)), 'merge2', 3);
  return [unit(add(p1, resizeNearest(middle, p1)), 'merge1', 3), middle, p3];
}

/** Nearest neighbour to the size of `like`: output i takes source ⌊i·in/out⌋. */
function resizeNearest(x: Tensor, like: Tensor): Tensor {
  const pick = (axis: number): Tensor => {
    const [from, to] = [x.shape[axis]!, like.shape[axis]!];
    return constantInts(
      [to],
      Array.from({ length: to }, (_, i) => Math.floor((i * from) / to)),
    );
  };
  return gather(gather(x, pick(2), 2), pick(3), 3);
}

/** Context module of SSH (Najibi et al. 2017): receptive fields 3, 5 and 7 side by side. */
function contextModule(x: Tensor, weights: Weights): Tensor {
  const width = x.shape[1]!;
  const slope = slopeOf(width);
  const unit = (y: Tensor, name: string, out: number): Tensor => {
    const w = scoped(weights, name);
    return convNorm(y, { conv: scoped(w, '0'), norm: scoped(w, '1'), out, kernel: 3 });
  };
  const small = unit(x, 'conv3X3', width / 2);
  const shared = leakyRelu(unit(x, 'conv5X5_1', width / 4), slope);
  const middle = unit(shared, 'conv5X5_2', width / 4);
  const large = unit(leakyRelu(unit(shared, 'conv7X7_2', width / 4), slope), 'conv7x7_3', width / 4);
  return relu(concat([small, middle, large], 1));
}

/** 1×1 convolution to two anchors of k numbers, [B, H·W·2, k]. */
function head(x: Tensor, k: number, w: Weights): Tensor {
  const y = conv(x, w('weight', [2 * k, x.shape[1]!, 1, 1]), w('bias', [2 * k]));
  const [b, , h, width] = y.shape as [number, number, number, number];
  return reshape(transpose(y, [0, 2, 3, 1]), [b, h * width * 2, k]);
}

/** Keys of a checkpoint that the network does not use. */
export const isUnusedRetinaFaceKey = (key: string): boolean => /num_batches_tracked$|^body\.fc\./.test(key);

/** Reads backbone and widths off the shapes of a checkpoint; keys without the prefix `module.`. */
export function retinaFaceConfig(shapeOf: (key: string) => readonly number[] | undefined): RetinaFaceConfig {
  const width = shapeOf('fpn.output1.0.weight')?.[0] ?? 64;
  const base = shapeOf('body.conv1.weight')?.[0];
  return base === undefined ? { backbone: 'mobilenet0.25', width } : { backbone: 'resnet50', width, baseWidth: base };
}
