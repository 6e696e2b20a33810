// A program of its own, started by `bench engine`: training step of the 85M DiT against its forward pass, and peak memory
// against the engine's own count. Prints figures as JSON.
import { readFileSync } from 'node:fs';
import { f32 } from '../src/base/index.ts';
import { compile, countFlops, planMemory } from '../src/graph/index.ts';
import { listWeights } from '../src/nets/index.ts';
import { openRuntime } from '../src/runtime/index.ts';
import {
  parameterCount,
  STATE_NAMES,
  STEP_SCALARS,
  stateGroups,
  stateInputs,
  stateName,
  stateOutputs,
  trainingStep,
} from '../src/training/optimizer.ts';
import { compare, figure, matrixRate, noise, weightNoise } from './measure.ts';
import { dit, ditFeeds, ditForward, ditLoss } from './networks.ts';

/** Peak resident bytes of this process so far. */
const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;
const residentBytes = (): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;

const config = dit();
const specs = listWeights((w) => ditLoss(config, w));
const count = parameterCount(specs);
const options = { beta1: 0.9, beta2: 0.99, eps: 1e-8, weightDecay: 0.01, clip: 1 };
const outputs = trainingStep(specs, (w) => ({ loss: ditLoss(config, w), metrics: {} }), options);
const plan = planMemory(outputs);
const stateBytes = STATE_NAMES.length * 4 * count;

await using runtime = openRuntime();
const rate = await matrixRate(runtime);
// Memory of Node, ONNX Runtime and the yardstick, before any of the network exists.
const baseline = residentBytes();

const step = await runtime.load(compile(outputs));
const groups = stateGroups(specs);
for (const name of STATE_NAMES) {
  for (const g of groups) {
    const value = name === 'p' || name === 'ema' ? noise(g.shape, 0.03) : f32(g.shape);
    await runtime.setState(stateName(name, g), value, { move: true });
  }
}
const feeds = {
  ...ditFeeds(),
  ...Object.fromEntries(STEP_SCALARS.map((n) => [n, f32([1], [n === 'lr' ? 1e-5 : 0.5])])),
};
const own = stateInputs(groups);
const keep = stateOutputs(groups);
const train = (): Promise<unknown> => step.run(feeds, { state: own, keep, inPlace: true, fetch: ['loss', 'gradNorm'] });
const trained = await compare(rate, countFlops(outputs), train, 3);
const used = peakBytes() - baseline;
await step.dispose();
for (const name of Object.values(own)) await runtime.dropState(name);

const forward = ditForward(config);
const weights = new Map(listWeights((w) => ditLoss(config, w)).map((s) => [s.key, weightNoise(s.shape)]));
await using session = await runtime.load(
  compile(forward.outputs, { weights: (key) => ({ kind: 'value', value: weights.get(key)! }) }),
);
const inferred = await compare(rate, countFlops(forward.outputs), () => session.run(forward.feeds), 3);

// What the weights, the optimizer and the largest live activations take by our own count, kept values counted once.
const counted = stateBytes + plan.activationBytes + plan.constantBytes;
// Both times in units of the matrix rate beside them, so that other work on the machine cancels out.
const work = countFlops(outputs) / trained.fraction / (countFlops(forward.outputs) / inferred.fraction);
const name = 'DiT 85M training';
process.stdout.write(
  JSON.stringify([
    figure({ name, value: work, unit: '×', of: 'its forward pass', floor: 3.4, isCeiling: true }),
    figure({ name: `${name}: fraction`, value: trained.fraction, unit: '×', of: 'the matrix product', floor: null }),
    figure({ name: `${name}: time`, value: trained.seconds, unit: 's', of: 'one step', floor: null }),
    figure({
      name: `${name}: peak memory`,
      value: used / counted,
      unit: '×',
      of: `own count, ${(counted / 1e9).toFixed(2)} GB`,
      floor: 1.25,
      isCeiling: true,
    }),
  ]),
);
