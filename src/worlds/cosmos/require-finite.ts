// Results that are no numbers end a run at once: they come from damaged weights, and hours of sampling would end in noise.
import { OrreryError } from '../../base/index.ts';

/** @param values of a network's result @param network in words, for the message */
export function requireFinite(values: Float32Array, network: string): void {
  const bad = values.findIndex((v) => !Number.isFinite(v));
  if (bad < 0) return;
  throw new OrreryError(
    'model',
    `${network} gave ${values[bad]} at place ${bad} of ${values.length}, need finite numbers; one of its weights is damaged: orrery models verify names it`,
  );
}
