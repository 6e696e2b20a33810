// Chooses the face detector of a policy, or says why there is none.
import { OrreryError } from '../../base/index.ts';
import type { GuardPolicy } from '../policy.ts';
import type { FaceDetector } from './detector.ts';
import { openRetinaDetector } from './retina-detector.ts';
import { openSmallDetector, SMALL_DETECTOR_PACKAGE, smallDetectorFolder } from './small-detector.ts';

export type DetectorChoice =
  | { readonly kind: 'off' }
  | { readonly kind: 'missing'; readonly reason: string }
  | { readonly kind: 'ready'; readonly detector: FaceDetector };

/** Opens what the policy asks for. Damaged weights throw; absent ones are `missing`. */
export function openFaceDetector(settings: GuardPolicy['faces']): DetectorChoice {
  const { mode, detector, weights, minScore } = settings;
  const options = minScore === undefined ? {} : { minScore };
  if (mode === 'off') return { kind: 'off' };
  if (detector === 'retinaface' && weights === undefined) {
    throw new OrreryError('usage', 'faces.detector is retinaface, but faces.weights names no file');
  }
  if (weights !== undefined && detector !== 'small') {
    return { kind: 'ready', detector: openRetinaDetector(weights, options) };
  }
  if (smallDetectorFolder() === undefined) {
    return {
      kind: 'missing',
      reason: `no face detector: npm install ${SMALL_DETECTOR_PACKAGE}, or set faces.weights in the policy`,
    };
  }
  return { kind: 'ready', detector: openSmallDetector(options) };
}
