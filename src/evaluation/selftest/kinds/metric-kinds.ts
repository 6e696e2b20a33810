// All kinds of metric cases.
import type { PlainKind } from './kind.ts';
import { codeUsage, dreamSimHead, frechet, lpipsHead, mmd } from './metric-features.ts';
import { eightPointKind, ftheta, pairAggregate, robustF, sampsonGivenF, tracks } from './metric-geometry.ts';
import { maskIou, motionMask, physicsIq } from './metric-physics.ts';
import { dreamSimInput, fvdInput, msssim, psnr, resizing, ssim } from './metric-pictures.ts';

export const METRICS: readonly PlainKind[] = [
  psnr,
  ssim,
  msssim,
  resizing,
  dreamSimInput,
  fvdInput,
  frechet,
  mmd,
  lpipsHead,
  dreamSimHead,
  codeUsage,
  sampsonGivenF,
  robustF,
  pairAggregate,
  eightPointKind,
  ftheta,
  tracks,
  maskIou,
  physicsIq,
  motionMask,
];
