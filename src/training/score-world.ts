// Scores of a world model on held-out clips, one sample per clip: continuation of nine given frames beside two predictions without
// learning, and text to world by counting objects.
import { constantVelocity } from '../motion/index.ts';
import {
  decodeLatents,
  encodeClip,
  type LoadedTokenizer,
  repeatLast,
  toBytes,
  WINDOW_FRAMES,
} from '../worlds/index.ts';
import type { Clips } from './clips.ts';
import { countObjects, expectedCounts, learnColors, sameCounts } from './count-objects.ts';
import { changedShare, motionIoU, paletteOf, psnr, scoreObjects } from './world-scores.ts';

/** Given frames of the continuation scores. */
const GIVEN = 9;

/** Frames scored as "next": what one call makes. */
const NEXT = GIVEN + 8;

/** Makes a whole clip from its first nine frames: uint8 [T, H, W, 3]. */
export type Predict = (clip: Uint8Array, caption: string, seed: number) => Promise<Uint8Array>;

/** Sums over clips of one prediction's scores. */
type Totals = Record<string, number>;

/**
 * Continuation scores over the first `count` clips, with pictures of the first ones (truth, then prediction).
 * Names without a prefix are the model's; `held…` repeats the last given frame, `going…` continues every motion.
 */
export async function scoreWorld(
  clips: Clips,
  count: number,
  tokenizer: LoadedTokenizer,
  predict: Predict,
): Promise<{ scores: { score: number } & Record<string, number>; rows: Uint8Array[] }> {
  const { frames, height, width } = clips;
  const each = height * width * 3;
  const rows: Uint8Array[] = [];
  const model: Totals = {};
  const going: Totals = {};
  const truthItself: Totals = {};
  let ceiling = 0;
  for (let i = 0; i < count; i++) {
    const truth = clips.clipView(i);
    const got = await predict(truth, clips.meta[i]!.caption, i);
    const given = { dtype: 'u8', shape: [GIVEN, height, width, 3], data: truth.slice(0, GIVEN * each) } as const;
    addScores(model, clips, i, got);
    addScores(going, clips, i, (await constantVelocity(given, GIVEN, frames)).data);
    addScores(truthItself, clips, i, truth);
    const restored = await decodeLatents(tokenizer, await encodeClip(tokenizer, truth.slice(0, WINDOW_FRAMES * each)));
    ceiling += psnr(truth, toBytes(restored), clips, GIVEN, NEXT);
    if (i < 6) rows.push(truth, got);
  }
  const m = meansOf(model, count);
  const g = meansOf(going, count);
  const t = meansOf(truthItself, count);
  const scores = {
    score: m.gain8 + m.gain24 + 4 * m.motionIoU + 2 * m.whole + 2 * m.placed,
    ...m,
    goingGain8: g.gain8,
    goingGain24: g.gain24,
    goingMotionIoU: g.motionIoU,
    goingWhole: g.whole,
    goingPlaced: g.placed,
    goingStillChange: g.stillChange,
    wholeOfTruth: t.whole,
    placedOfTruth: t.placed,
    ceiling8: ceiling / count,
    clips: count,
  };
  return { scores, rows };
}

/** Adds what one predicted clip scores against the truth. */
function addScores(totals: Totals, clips: Clips, i: number, got: Uint8Array): void {
  const tally = (key: string, value: number): void => void (totals[key] = (totals[key] ?? 0) + value);
  const truth = clips.clipView(i);
  const held = repeatLast(truth, clips, GIVEN);
  const ends = [NEXT, clips.frames];
  for (const [k, to] of ends.entries()) {
    tally(`psnr${k}`, psnr(truth, got, clips, GIVEN, to));
    tally(`held${k}`, psnr(truth, held, clips, GIVEN, to));
  }
  const overlap = motionIoU(truth, got, clips, GIVEN, NEXT);
  tally('both', overlap.both);
  tally('any', overlap.any);
  if (changedShare(truth, truth, clips, GIVEN) < 0.0005) {
    tally('stills', 1);
    tally('stillChange', changedShare(truth, got, clips, GIVEN));
  }
  const instance = clips.instanceView(i);
  if (instance === undefined) return;
  const ids = (clips.meta[i]!.objects ?? []).filter((body) => body.dynamic).map((body) => body.id);
  const palette = paletteOf(truth, instance, clips, ids, GIVEN);
  const isWhole = (s: { areaRatio: number }): boolean => s.areaRatio >= 0.6 && s.areaRatio <= 1.6;
  for (const s of scoreObjects(got, instance, palette, clips, ids, clips.frames - 1, GIVEN)) {
    tally('seen', 1);
    tally('whole', isWhole(s) ? 1 : 0);
  }
  for (const s of scoreObjects(got, instance, palette, clips, ids, NEXT - 1, GIVEN)) {
    if (s.moved < 1 / 3) continue;
    tally('moved', 1);
    tally('placed', s.offset <= 1 / 3 && isWhole(s) ? 1 : 0);
  }
}

function meansOf(t: Totals, count: number) {
  const ratio = (a: string, b: string): number => (t[a] ?? 0) / Math.max(1, t[b] ?? 0);
  return {
    gain8: (t.psnr0! - t.held0!) / count,
    gain24: (t.psnr1! - t.held1!) / count,
    psnr8: t.psnr0! / count,
    repeat8: t.held0! / count,
    motionIoU: ratio('both', 'any'),
    whole: ratio('whole', 'seen'),
    placed: ratio('placed', 'moved'),
    stillChange: ratio('stillChange', 'stills'),
    stills: t.stills ?? 0,
  };
}

/**
 * Text to world against the captions of held-out clips: share of first frames, and of frames eight later, that show the
 * objects of the caption's clip in colour and count; the counter's own share on the true frames beside it.
 */
export async function scoreText(
  clips: Clips,
  count: number,
  generate: (caption: string, seed: number, length: number) => Promise<Uint8Array>,
): Promise<{ scores: { textRight: number; textRightLater: number; counterRight: number }; rows: Uint8Array[] }> {
  const each = clips.height * clips.width * 3;
  const colors = learnColors(clips, clips.count);
  const isRight = (frames: Uint8Array, frame: number, clip: number): number =>
    Number(
      sameCounts(
        countObjects(frames.subarray(frame * each, (frame + 1) * each), clips, colors),
        expectedCounts(clips, clip),
      ),
    );
  const rows: Uint8Array[] = [];
  let [first, later, truth] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    // A few are shown whole; the others are made only as far as they are counted.
    const frames = await generate(clips.meta[i]!.caption, i, i < 6 ? clips.frames : 9);
    if (i < 6) rows.push(frames);
    first += isRight(frames, 0, i);
    later += isRight(frames, 8, i);
    truth += isRight(clips.clipView(i), 0, i);
  }
  return {
    scores: { textRight: first / count, textRightLater: later / count, counterRight: truth / count },
    rows,
  };
}
