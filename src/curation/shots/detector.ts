// The shot detector in use: small frames in, transitions out, a fixed number of frames later. Runs the trained network
// frame by frame in plain numbers: about 30,000 products per frame need no engine.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OrreryError, toF32 } from '../../base/index.ts';
import { parseSafetensors } from '../../formats/index.ts';
import type { ShotNetConfig } from '../../nets/vision/shot-net.ts';
import { brightnessOf, FEATURES, featureStream, LOOK_AHEAD, structureOf } from './features.ts';

/** A transition. A cut has `start` = `end` = the first frame of the new shot; others run from the first to the last mixed frame. */
export type Transition = {
  readonly start: number;
  readonly end: number;
  readonly kind: 'cut' | 'gradual';
  /** 0…1. */
  readonly score: number;
  /** The end is not known yet; the same transition is told again. */
  readonly isPending?: true;
};

/** Small pictures (uint8 RGB [27, 48, 3]) in, transitions out, in order. */
export type ShotStream = {
  /** Frames from this one on may still belong to a transition that is not told yet. */
  readonly undecidedFrom: number;
  push(rgb: Uint8Array): Transition[] | Promise<Transition[]>;
  end(): Transition[] | Promise<Transition[]>;
};

/** An open detector. */
export type ShotDetector = {
  /** Most frames that the answer for a frame is behind the newest one. */
  readonly delay: number;
  /** @param threshold smallest score. Default: the detector's own */
  stream(threshold?: number): ShotStream;
  dispose(): Promise<void>;
};

/** A trained detector. */
export type ShotModel = {
  readonly config: ShotNetConfig;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly threshold: number;
  readonly weights: ReadonlyMap<string, Float32Array>;
};

const SHIPPED = fileURLToPath(
  new URL(
    import.meta.url.endsWith('.ts') ? '../../../models/orrery-shots' : '../../../../models/orrery-shots',
    import.meta.url,
  ),
);

/** Reads a detector's model folder; default: the shipped one. */
export function loadShotModel(folder = SHIPPED): ShotModel {
  try {
    const { config } = JSON.parse(readFileSync(join(folder, 'model.json'), 'utf8')) as {
      config: ShotNetConfig & { mean: number[]; std: number[]; threshold: number };
    };
    const bytes = new Uint8Array(readFileSync(join(folder, 'model.safetensors')));
    const file = parseSafetensors(bytes, join(folder, 'model.safetensors'));
    const weights = new Map([...file.tensors.keys()].map((name) => [name, toF32(file.read(name))]));
    const { mean, std, threshold, ...net } = config;
    return { config: net, mean, std, threshold, weights };
  } catch (cause) {
    if (cause instanceof OrreryError) throw cause;
    throw new OrreryError('model', `${folder}: not a shot detector (${(cause as Error).message}); restore the folder`, {
      cause,
    });
  }
}

/** Streams the network over feature rows: pairs of logits `delay` rows later. */
function netStream(model: ShotModel): {
  push(row: Float32Array | undefined): [number, number] | undefined;
  delay: number;
} {
  const { width, dilations } = model.config;
  const get = (key: string): Float32Array => {
    const tensor = model.weights.get(key);
    if (tensor === undefined)
      throw new OrreryError('model', `the shot detector has no tensor ${key}; restore its folder`);
    return tensor;
  };
  const dense = (w: Float32Array, b: Float32Array, x: Float32Array, from: number, to: number): Float32Array => {
    const out = new Float32Array(to);
    for (let o = 0; o < to; o++) {
      let sum = b[o]!;
      const at = o * from;
      for (let i = 0; i < from; i++) sum += w[at + i]! * x[i]!;
      out[o] = sum;
    }
    return out;
  };
  const zero = new Float32Array(width);
  // One line of delay per block: the block needs `d` frames after the one it answers for. `undefined` rows are the end.
  const stages = dilations.map((d, i) => {
    // [O, I, 3] → three matrices [O, I].
    const kernel = get(`blocks.${i}.time.weight`);
    const taps = [0, 1, 2].map((k) => {
      const tap = new Float32Array(width * width);
      for (let j = 0; j < width * width; j++) tap[j] = kernel[j * 3 + k]!;
      return tap;
    });
    const bias = get(`blocks.${i}.time.bias`);
    const [outW, outB] = [get(`blocks.${i}.out.weight`), get(`blocks.${i}.out.bias`)];
    const ring = new Array<Float32Array | undefined>(2 * d + 1).fill(undefined);
    let n = 0;
    return (x: Float32Array | undefined): { value: Float32Array | undefined } | undefined => {
      ring[n % ring.length] = x;
      n++;
      if (n <= d) return undefined;
      const at = (k: number): Float32Array | undefined => (k < 0 ? undefined : ring[k % ring.length]);
      const centre = n - 1 - d;
      const now = at(centre);
      if (now === undefined) return { value: undefined };
      const [before, after] = [at(centre - d) ?? zero, at(centre + d) ?? zero];
      const inner = new Float32Array(width);
      for (let o = 0; o < width; o++) {
        let sum = bias[o]!;
        const row = o * width;
        for (let c = 0; c < width; c++)
          sum += taps[0]![row + c]! * before[c]! + taps[1]![row + c]! * now[c]! + taps[2]![row + c]! * after[c]!;
        inner[o] = Math.max(sum, 0);
      }
      const delta = dense(outW, outB, inner, width, width);
      for (let o = 0; o < width; o++) delta[o]! += now[o]!;
      return { value: delta };
    };
  });
  const [inW, inB, headW, headB] = [get('in.weight'), get('in.bias'), get('head.weight'), get('head.bias')];
  return {
    delay: dilations.reduce((a, b) => a + b, 0),
    push(row) {
      let x: Float32Array | undefined;
      if (row !== undefined) {
        const z = new Float32Array(FEATURES);
        for (let f = 0; f < FEATURES; f++) z[f] = (row[f]! - model.mean[f]!) / model.std[f]!;
        x = dense(inW, inB, z, FEATURES, width);
        for (let i = 0; i < width; i++) if (x[i]! < 0) x[i] = 0;
      }
      for (const stage of stages) {
        const out = stage(x);
        if (out === undefined) return undefined;
        x = out.value;
      }
      if (x === undefined) return undefined;
      const logits = dense(headW, headB, x, width, 2);
      return [logits[0]!, logits[1]!];
    },
  };
}

const sigmoid = (z: number): number => 1 / (1 + Math.exp(-z));

/** What is known of one frame. */
export type FrameScore = {
  /** Probability of being inside a transition, and at the middle of one. */
  readonly inside: number;
  readonly middle: number;
  /** Black or white all over. */
  readonly isBlank: boolean;
  /** 1 − correlation of luma with the picture three frames before. */
  readonly structure: number;
};

/** Streams small frames to probabilities, in order, `delay` frames later. */
export function scoreStream(model: ShotModel): {
  readonly delay: number;
  push(rgb: Uint8Array): FrameScore | undefined;
  end(): FrameScore[];
} {
  const features = featureStream();
  const net = netStream(model);
  /** Facts of the rows whose answers are still on the way. */
  const facts: { isBlank: boolean; structure: number }[] = [];
  const toScore = (pair: [number, number]): FrameScore => ({
    inside: sigmoid(pair[0]),
    middle: sigmoid(pair[1]),
    ...facts.shift()!,
  });
  const see = (row: Float32Array): [number, number] | undefined => {
    const [mean, deviation, peak] = brightnessOf(row);
    // A title in small letters on black is a picture: its peak tells.
    const isBlank = (mean < 0.02 && deviation < 0.012 && peak < 0.08) || (mean > 0.97 && deviation < 0.02);
    facts.push({ isBlank, structure: structureOf(row) });
    return net.push(row);
  };
  return {
    delay: LOOK_AHEAD + net.delay,
    push(rgb) {
      const row = features.push(rgb);
      if (row === undefined) return undefined;
      const pair = see(row);
      return pair === undefined ? undefined : toScore(pair);
    },
    end() {
      const scores: FrameScore[] = [];
      const add = (pair: [number, number] | undefined): void => {
        if (pair !== undefined) scores.push(toScore(pair));
      };
      for (const row of features.end()) add(see(row));
      for (let i = 0; i < net.delay; i++) add(net.push(undefined));
      return scores;
    },
  };
}

/**
 * Turns probabilities into transitions, in order. Two transitions with nothing but blank pictures between them are one: a
 * fade through black. A transition that ends in blank pictures is told at once as pending, and again, with the same start,
 * when its end is known.
 */
export function transitionStream(threshold: number): {
  /** Frames from this one on may still belong to a transition that is not told yet. */
  readonly undecidedFrom: number;
  push(score: FrameScore): Transition[];
  end(): Transition[];
} {
  let t = 0;
  let open: { start: number; scores: FrameScore[] } | undefined;
  let quiet = 0;
  let held: Transition | undefined;
  /** First frame of the unbroken run of blank frames up to the newest. */
  let blankFrom = 0;
  const close = (): Transition[] => {
    const segment = open!;
    open = undefined;
    const told: Transition[] = [];
    for (const found of transitionsIn(segment.start, segment.scores, threshold)) {
      if (held !== undefined) {
        // While something is held, all frames after it are blank up to here.
        const end = found.kind === 'cut' ? found.start - 1 : found.end;
        told.push({
          start: held.start,
          end: Math.max(held.end, end),
          kind: 'gradual',
          score: Math.max(held.score, found.score),
        });
        held = undefined;
        continue;
      }
      told.push(found);
    }
    const last = told.at(-1);
    if (last !== undefined && blankFrom <= (last.kind === 'cut' ? last.start : last.end + 1)) {
      told.pop();
      const { isPending: _, ...plain } = last;
      held = plain;
      told.push({ ...plain, isPending: true });
    }
    return told;
  };
  const release = (): Transition[] => {
    const free = held === undefined ? [] : [held];
    held = undefined;
    return free;
  };
  return {
    get undecidedFrom() {
      return open === undefined ? t : open.start;
    },
    push(score) {
      const isActive = score.inside > 0.5 || score.middle > Math.min(0.5, threshold);
      let told: Transition[] = [];
      if (!score.isBlank) blankFrom = t + 1;
      if (isActive) {
        open ??= { start: t, scores: [] };
        open.scores.push(score);
        quiet = 0;
      } else if (open !== undefined) {
        open.scores.push(score);
        quiet++;
        if (quiet > 3) told = close();
      }
      // A segment without end (a strobe, noise) must not hold back frames for ever.
      if (open !== undefined && open.scores.length >= LONGEST) told = close();
      t++;
      if (open === undefined) {
        quiet = 0;
        if (held !== undefined && !score.isBlank) told.push(...release());
      }
      return told;
    },
    end: () => {
      const told = open === undefined ? [] : close().filter((x) => x.isPending !== true);
      return [...told, ...release()];
    },
  };
}

const NEAREST = 8;
/** Two frames before and one after a cut with this little difference of structure show one scene under changing light. */
const SAME = 0.01;
/** Longest transition, in frames. */
const LONGEST = 160;

function transitionsIn(start: number, scores: readonly FrameScore[], threshold: number): Transition[] {
  const peaks: number[] = [];
  const order = scores.map((_, i) => i).sort((a, b) => scores[b]!.middle - scores[a]!.middle);
  for (const i of order) {
    if (scores[i]!.middle < threshold) break;
    // Two peaks are two transitions only when "inside" falls between them.
    const isNew = peaks.every((p) => {
      const [a, b] = [Math.min(p, i), Math.max(p, i)];
      if (b - a < NEAREST) return false;
      for (let k = a; k <= b; k++) if (scores[k]!.inside < 0.5) return true;
      return false;
    });
    if (isNew) peaks.push(i);
  }
  // Black frames have no structure to compare.
  const isSame = (p: number): boolean =>
    !scores.slice(Math.max(0, p - 3), p + 2).some((s) => s.isBlank) && (scores[p + 1]?.structure ?? 1) < SAME;
  return peaks
    .sort((a, b) => a - b)
    .flatMap((p): Transition[] => {
      let [a, b] = [p, p];
      while (a > 0 && scores[a - 1]!.inside > 0.5) a--;
      while (b + 1 < scores.length && scores[b + 1]!.inside > 0.5) b++;
      const score = scores[p]!.middle;
      // A cut lights up the frame before it and its own.
      if (b - a <= 3) {
        // The middle of a long transition may be a title that stands still: only cuts are judged by it.
        return isSame(p) ? [] : [{ start: start + p, end: start + p, kind: 'cut', score }];
      }
      return [{ start: start + a, end: start + b, kind: 'gradual', score }];
    });
}
