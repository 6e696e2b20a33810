// Motion masks of Physics-IQ: luma, binomial blur, running average, threshold, opening and closing. Equal to OpenCV's results.

/** All stages of the masks of one clip. */
export type MotionStages = {
  /** uint8 [T, H, W]. */
  readonly blurred: Uint8Array;
  /** float64 [T, H, W]. */
  readonly average: Float64Array;
  readonly difference: Uint8Array;
  /** 0 or 255, [T, H, W]. Frame 0 is empty. */
  readonly mask: Uint8Array;
};

export type MotionOptions = {
  readonly frames: number;
  readonly height: number;
  readonly width: number;
  /** Order of the colours in memory. Default `rgb`. */
  readonly order?: 'rgb' | 'bgr';
  /** Weight of a new frame in the running average. Default 0.3. */
  readonly rate?: number;
  /** Difference above which a pixel moves, of 255. Default 10. */
  readonly threshold?: number;
};

/** Where something moves. @param video uint8 [T, H, W, 3] */
export function motionMasks(video: Uint8Array, options: MotionOptions): MotionStages {
  const { frames, height, width, order = 'rgb', rate = 0.3, threshold = 10 } = options;
  const pixels = height * width;
  const stages = {
    blurred: new Uint8Array(frames * pixels),
    average: new Float64Array(frames * pixels),
    difference: new Uint8Array(frames * pixels),
    mask: new Uint8Array(frames * pixels),
  };
  let running = new Float64Array(pixels);
  for (let f = 0; f < frames; f++) {
    const gray = binomialBlur(lumaOf(video.subarray(f * pixels * 3, (f + 1) * pixels * 3), order), height, width);
    stages.blurred.set(gray, f * pixels);
    running = f === 0 ? Float64Array.from(gray) : running.map((a, i) => (1 - rate) * a + rate * gray[i]!);
    stages.average.set(running, f * pixels);
    const raw = new Uint8Array(pixels);
    for (let i = 0; i < pixels; i++) {
      const d = Math.abs(gray[i]! - roundHalfEven(running[i]!));
      stages.difference[f * pixels + i] = d;
      raw[i] = d > threshold ? 255 : 0;
    }
    if (f > 0) {
      const size = { height, width };
      const opened = morph(morph(raw, size, Math.min), size, Math.max);
      stages.mask.set(morph(morph(opened, size, Math.max), size, Math.min), f * pixels);
    }
  }
  return stages;
}

/** Luma by the fixed-point weights of image libraries, rounded: (9798 R + 19235 G + 3735 B) / 2¹⁵. */
export function lumaOf(picture: Uint8Array, order: 'rgb' | 'bgr' = 'rgb'): Uint8Array {
  const [r, b] = order === 'rgb' ? [0, 2] : [2, 0];
  const out = new Uint8Array(picture.length / 3);
  for (let i = 0; i < out.length; i++) {
    out[i] = (9798 * picture[3 * i + r]! + 19235 * picture[3 * i + 1]! + 3735 * picture[3 * i + b]! + 16384) >> 15;
  }
  return out;
}

const BINOMIAL = [1, 4, 6, 4, 1] as const;

/** 5×5 binomial blur, borders mirrored about the edge pixel, one rounding at the end. */
export function binomialBlur(gray: Uint8Array, height: number, width: number): Uint8Array {
  const mirror = (i: number, size: number): number => {
    if (size === 1) return 0;
    const m = Math.abs(i) % (2 * size - 2);
    return m < size ? m : 2 * size - 2 - m;
  };
  const across = new Int32Array(gray.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let s = 0;
      for (let k = 0; k < 5; k++) s += BINOMIAL[k]! * gray[y * width + mirror(x + k - 2, width)]!;
      across[y * width + x] = s;
    }
  }
  const out = new Uint8Array(gray.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let s = 0;
      for (let k = 0; k < 5; k++) s += BINOMIAL[k]! * across[mirror(y + k - 2, height) * width + x]!;
      out[y * width + x] = (s + 128) >> 8;
    }
  }
  return out;
}

const roundHalfEven = (x: number): number => {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
};

/** Erosion (min) or dilation (max) with a square of ones; what lies outside never decides. */
export function morph(
  mask: Uint8Array,
  { height, width }: { readonly height: number; readonly width: number },
  choose: (a: number, b: number) => number,
  radius = 2,
): Uint8Array {
  const across = new Uint8Array(mask.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let v = mask[y * width + x]!;
      for (let u = Math.max(0, x - radius); u <= Math.min(width - 1, x + radius); u++)
        v = choose(v, mask[y * width + u]!);
      across[y * width + x] = v;
    }
  }
  const out = new Uint8Array(mask.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let v = across[y * width + x]!;
      for (let u = Math.max(0, y - radius); u <= Math.min(height - 1, y + radius); u++)
        v = choose(v, across[u * width + x]!);
      out[y * width + x] = v;
    }
  }
  return out;
}
