// Decides from measured facts which clips are kept, and says why not.
import type { ClipWork, Rejection } from '../clip-work.ts';
import type { CurateOptions } from '../options.ts';

/** The first reason to take a clip out; undefined: it stays. */
export function rejectionOf(clip: ClipWork, o: CurateOptions): Rejection | undefined {
  const { quality: q, motion } = clip;
  if (clip.damagedFrames > 0) return { by: 'damage', reason: `${clip.damagedFrames} frames of the source are damaged` };
  if (o.motion === 'filter') {
    if (clip.sourceFacts.width < 256 || clip.sourceFacts.height < 256)
      return { by: 'motion', reason: 'resolution_too_small' };
    if (motion === undefined) return { by: 'motion', reason: 'no motion data' };
    if (motion.globalMean < o.motionGlobal)
      return { by: 'motion', reason: `global mean ${motion.globalMean.toExponential(2)} below ${o.motionGlobal}` };
    if (motion.perPatchMin256 < o.motionPatch)
      return {
        by: 'motion',
        reason: `a patch moves ${motion.perPatchMin256.toExponential(2)}, below ${o.motionPatch}`,
      };
  }
  if (o.quality === 'filter') {
    const bad = (what: string, value: number, limit: number, sign: string): Rejection => ({
      by: 'quality',
      reason: `${what} ${value.toFixed(3)} ${sign} ${limit}`,
    });
    if (q.darkShare > o.maxDark) return bad('dark share', q.darkShare, o.maxDark, 'above');
    if (q.brightShare > o.maxBright) return bad('bright share', q.brightShare, o.maxBright, 'above');
    if (q.freezeShare > o.maxFreeze) return bad('freeze share', q.freezeShare, o.maxFreeze, 'above');
    if (q.sharpness < o.minSharpness) return bad('sharpness', q.sharpness, o.minSharpness, 'below');
    if (q.letterbox + q.pillarbox > o.maxBars) return bad('bars', q.letterbox + q.pillarbox, o.maxBars, 'above');
    if (q.flashes > o.maxFlashes) return bad('flashes per second', q.flashes, o.maxFlashes, 'above');
  }
  if (o.overlay === 'filter' && q.overlayShare > o.maxOverlay)
    return { by: 'overlay', reason: `static overlay ${q.overlayShare.toFixed(3)} above ${o.maxOverlay}` };
  return undefined;
}
