// Learning-rate and averaging schedules as functions of the step.

export type Schedule = {
  /** Largest learning rate. */
  readonly lr: number;
  readonly warmup: number;
  /** Steps at which the cosine starts and ends. */
  readonly decayFrom: number;
  readonly decayTo: number;
  /** Last learning rate as a fraction of the largest. */
  readonly floor: number;
  /** Largest decay of the moving average of the weights. */
  readonly ema: number;
};

/** Linear warm-up, constant, cosine to the floor. Steps count from 0. */
export function learningRate(s: Schedule, step: number): number {
  if (step < s.warmup) return (s.lr * (step + 1)) / s.warmup;
  if (step <= s.decayFrom) return s.lr;
  const u = Math.min(1, (step - s.decayFrom) / Math.max(1, s.decayTo - s.decayFrom));
  return s.lr * (s.floor + ((1 - s.floor) * (1 + Math.cos(Math.PI * u))) / 2);
}

/** min(ema, (1 + t)/(10 + t)): short memory at first, so that the average forgets the random start. */
export const emaDecay = (s: Schedule, step: number): number => Math.min(s.ema, (1 + step) / (10 + step));
