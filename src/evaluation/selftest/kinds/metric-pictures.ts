// Parity of picture metrics: PSNR, SSIM, MS-SSIM, resampling, and the input pictures of learned metrics.
import { InputError, type NdArray } from '../../../base/index.ts';
import {
  mean,
  meanSquaredError,
  meanSquaredErrors,
  psnrTokenBench,
  psnrTraining,
  requantise,
} from '../../metrics/psnr.ts';
import { msSsim, type PictureSize, ssimGaussian, ssimMap, ssimUniform } from '../../metrics/ssim.ts';
import { CLIP, dreamSimPicture, fvdClip, IMAGENET, normalisedChw } from '../../resize/inputs.ts';
import { OPENCV_FILTERS, type OpenCvFilter, resizeOpenCv, resizeOpenCvBytes } from '../../resize/opencv.ts';
import { PILLOW_FILTERS, type PillowFilter, resizePillow } from '../../resize/pillow.ts';
import { resizeTorch, TORCH_FILTERS, type TorchFilter } from '../../resize/torch.ts';
import { bytesOf, type ParityCase } from '../case.ts';
import type { Computed } from '../compare.ts';
import type { PlainKind } from './kind.ts';
import { doubles, scalar, within } from './metric-values.ts';

export const psnr: PlainKind = {
  name: 'PSNR',
  matches: (c) => c.outputs.has('psnr_video') || c.outputs.has('psnr_train'),
  async compute(c) {
    const a = bytesOf(c, 'gt');
    const b = bytesOf(c, 'pred').data;
    const frames = a.shape[0]!;
    // The training form sees x/127.5 − 1, requantised.
    const again = (x: Uint8Array): Uint8Array => requantise(Float32Array.from(x, (v) => v / 127.5 - 1));
    const each = meanSquaredErrors(a.data, b, frames);
    const training = meanSquaredErrors(again(a.data), again(b), frames).map(psnrTraining);
    return {
      psnr_video: scalar(psnrTokenBench(meanSquaredError(a.data, b))),
      psnr_per_frame_tokenbench: doubles(each.map(psnrTokenBench)),
      psnr_per_frame_train: doubles(training),
      psnr_train: scalar(mean(training)),
      mse_per_frame: doubles(each),
    };
  },
  judge: (_, output, got, want) =>
    output.startsWith('psnr') ? within(got, want, 1e-4) : within(got, want, 1e-4, 1e-5),
};

function sizeOf(a: NdArray): PictureSize {
  const [height, width, channels = 1] = a.shape as [number, number, number?];
  return { height, width, channels };
}

export const ssim: PlainKind = {
  name: 'SSIM',
  matches: (c) => [...c.outputs.keys()].some((name) => name.startsWith('ssim_')),
  async compute(c) {
    const a = bytesOf(c, 'gt');
    const b = bytesOf(c, 'pred').data;
    const size = sizeOf(a);
    const out: Record<string, Computed> = {
      ssim_uniform7_rgb: scalar(ssimUniform(a.data, b, size)),
      ssim_uniform7_rgb_f32input: scalar(ssimUniform(a.data, b, size)),
      ssim_uniform7_map: doubles(ssimMap(a.data, b, size, 'uniform7'), a.shape),
      ssim_gauss11_rgb: scalar(ssimGaussian(a.data, b, size)),
      ssim_gauss11_valid_rgb: scalar(ssimGaussian(a.data, b, size)),
      ssim_gauss11_map: doubles(ssimMap(a.data, b, size, 'gauss11'), a.shape),
      ssim_gauss11_zeropad_rgb: scalar(ssimGaussian(a.data, b, size, 'zero')),
    };
    if (c.inputs.has('gt_gray')) {
      const g = bytesOf(c, 'gt_gray');
      const h = bytesOf(c, 'pred_gray').data;
      out.ssim_uniform7_gray = scalar(ssimUniform(g.data, h, sizeOf(g)));
      out.ssim_gauss11_gray = scalar(ssimGaussian(g.data, h, sizeOf(g)));
    }
    return out;
  },
  judge: (_, output, got, want) => within(got, want, output.endsWith('_map') ? 1e-5 : 1e-6),
};

export const msssim: PlainKind = {
  name: 'MS-SSIM',
  matches: (c) => c.outputs.has('ms_ssim'),
  async compute(c) {
    const a = bytesOf(c, 'gt');
    const size = sizeOf(a);
    const { value, channels, levels } = msSsim(a.data, bytesOf(c, 'pred').data, size);
    return {
      ms_ssim: scalar(value),
      ms_ssim_channels: doubles(channels),
      levels_ssim_cs: doubles(
        levels.flatMap((l) => [...l.ssim, ...l.cs]),
        [levels.length, 2, size.channels],
      ),
    };
  },
  judge: (_, __, got, want) => within(got, want, 1e-6),
};

const RESIZED = /^(cv|pil|torch)_(\w+?)_(u8|f32)\.(\d+)x(\d+)$/;

export const resizing: PlainKind = {
  name: 'resampling',
  matches: (c) => c.inputs.has('img') && [...c.outputs.keys()].some((name) => RESIZED.test(name)),
  async compute(c) {
    const img = bytesOf(c, 'img');
    const size = sizeOf(img);
    const out: Record<string, Computed> = {};
    for (const name of c.outputs.keys()) {
      const match = RESIZED.exec(name);
      if (match === null) continue;
      const [, library, filter, type] = match as unknown as [string, string, string, string];
      const to = { height: Number(match[4]), width: Number(match[5]) };
      const shape = [to.height, to.width, size.channels];
      const known = { cv: OPENCV_FILTERS, pil: PILLOW_FILTERS, torch: TORCH_FILTERS }[library] as readonly string[];
      if (!known.includes(filter)) {
        throw new InputError(`${library} filter`, { got: filter, need: known.join(', ') }, 'unsupported');
      }
      if (library === 'pil') {
        out[name] = { dtype: 'u8', shape, data: resizePillow(img.data, size, to, filter as PillowFilter) };
      } else if (library === 'torch') {
        out[name] = doubles(resizeTorch(img.data, size, to, filter as TorchFilter), shape);
      } else if (type === 'u8') {
        out[name] = { dtype: 'u8', shape, data: resizeOpenCvBytes(img.data, size, to, filter as OpenCvFilter) };
      } else out[name] = doubles(resizeOpenCv(img.data, size, to, filter as OpenCvFilter), shape);
    }
    return out;
  },
  judge(c, output, got, want) {
    const isByte = output.includes('_u8.');
    const match = RESIZED.exec(output)!;
    const { height, width } = sizeOf(c.inputs.get('img')!);
    const isWhole = height % Number(match[4]) === 0 && width % Number(match[5]) === 0;
    const isExact = match[1] === 'pil' || match[2] === 'nearest' || (match[2] === 'area' && isWhole);
    return within(got, want, isByte ? (isExact ? 1e-9 : 1) : 2e-3);
  },
};

export const dreamSimInput: PlainKind = {
  name: 'DreamSim input',
  matches: (c) => c.inputs.has('img') && c.outputs.has('resized_u8'),
  async compute(c) {
    const img = bytesOf(c, 'img');
    const { height, width } = sizeOf(img);
    const small = dreamSimPicture(img.data, height, width);
    const out: Record<string, Computed> = { resized_u8: { dtype: 'u8', shape: [224, 224, 3], data: small } };
    // The case keeps every n-th row and column.
    for (const [name, stats] of [
      ['dino_chw', IMAGENET],
      ['clip_chw', CLIP],
    ] as const) {
      const side = c.outputs.get(name)?.shape[1];
      if (side === undefined) continue;
      const step = 224 / side;
      const chw = normalisedChw(small, 224 * 224, stats);
      const picked = new Float32Array(3 * side * side);
      for (let i = 0; i < picked.length; i++) {
        const [ch, y, x] = [Math.floor(i / side / side), Math.floor(i / side) % side, i % side];
        picked[i] = chw[(ch * 224 + y * step) * 224 + x * step]!;
      }
      out[name] = { dtype: 'f32', shape: [3, side, side], data: picked };
    }
    return out;
  },
  judge: (_, output, got, want) => within(got, want, output === 'resized_u8' ? 1e-9 : 1e-5),
};

const FVD = /^(\w+)_(\d+)$/;

function fvdInputOf(c: ParityCase, output: string): { readonly input: string; readonly side: number } | undefined {
  const match = FVD.exec(output);
  const array = match === null ? undefined : c.inputs.get(match[1]!);
  return match !== null && array?.dtype === 'u8' && array.shape.length === 4
    ? { input: match[1]!, side: Number(match[2]) }
    : undefined;
}

export const fvdInput: PlainKind = {
  name: 'FVD input',
  matches: (c) => c.outputs.size > 0 && [...c.outputs.keys()].every((name) => fvdInputOf(c, name) !== undefined),
  async compute(c) {
    const out: Record<string, Computed> = {};
    for (const name of c.outputs.keys()) {
      const { input, side } = fvdInputOf(c, name)!;
      const { shape, data } = bytesOf(c, input);
      const [frames, height, width] = shape as [number, number, number];
      out[name] = {
        dtype: 'f32',
        shape: [3, frames, side, side],
        data: fvdClip(data, { frames, height, width }, side),
      };
    }
    return out;
  },
  judge: (_, __, got, want) => within(got, want, 1e-5),
};
