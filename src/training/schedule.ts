// Learning-rate and averaging schedules as functions of the step.

export type Schedule = {
  /** Largest learning rate. */
  readonly lr: number;
  readonly warmup: number;
  /** Steps at which the decay starts and ends: warm-up, a stable rate, decay. */
  readonly decayFrom: number;
  readonly decayTo: number;
  /** Last learning rate as a fraction of the largest. */
  readonly floor: number;
  /** Curve of the decay, over u from 0 to 1: (1 + cos πu)/2 (default), 1 − u, or 1 − √u (Hägele et al. 2024, section 3). */
  readonly decay?: 'cosine' | 'linear' | 'root' | undefined;
  /**
   * Moving average of the weights: a number is its largest decay; `power` is a memory that grows with the run, given as its width
   * relative to the steps so far (Karras et al. 2024, section 3.1; 0.1 in Cosmos-Predict2.5); 0 keeps the last weights.
   */
  readonly ema: number | { readonly power: number };
};

/** Linear warm-up, constant, decay to the floor. Steps count from 0. */
export function learningRate(s: Schedule, step: number): number {
  if (step < s.warmup) return (s.lr * (step + 1)) / s.warmup;
  if (step <= s.decayFrom) return s.lr;
  const u = Math.min(1, (step - s.decayFrom) / Math.max(1, s.decayTo - s.decayFrom));
  if (s.decay === 'linear') return s.lr * (s.floor + (1 - s.floor) * (1 - u));
  if (s.decay === 'root') return s.lr * (s.floor + (1 - s.floor) * (1 - Math.sqrt(u)));
  return s.lr * (s.floor + ((1 - s.floor) * (1 + Math.cos(Math.PI * u))) / 2);
}

/**
 * Decay of the average at a step (from 0). A number: min(ema, (1 + t)/(10 + t)), short memory at first, so that the average forgets
 * the random start. Power: (1 − 1/i)^(γ + 1) for the i-th update.
 */
export function emaDecay(s: Schedule, step: number): number {
  if (typeof s.ema === 'number') return Math.min(s.ema, (1 + step) / (10 + step));
  return (1 - 1 / (step + 1)) ** (powerExponent(s.ema.power) + 1);
}

/** γ of a relative width s: the largest real root of γ³ + 7γ² + (16 − s⁻²)γ + (12 − s⁻²) (Karras et al. 2024, equation 123). */
export function powerExponent(width: number): number {
  const t = width ** -2;
  const f = (g: number): number => ((g + 7) * g + 16 - t) * g + 12 - t;
  // Beyond the outermost root the cubic rises: bisect between a place below it and one above.
  // Widths below √(1/12), all that recipes may ask for, have their root above 0.
  let [low, high] = [0, 1 / width + 8];
  for (let i = 0; i < 200; i++) {
    const middle = (low + high) / 2;
    if (f(middle) > 0) high = middle;
    else low = middle;
  }
  return (low + high) / 2;
}
