// The engine against the matrix product of the same machine in the same minutes. Training runs in a process of its own,
// because its peak memory is measured too.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { compile, countFlops, type TensorType } from '../src/graph/index.ts';
import { openRuntime, type Runtime } from '../src/runtime/index.ts';
import { compare, type Figure, figure, matrixRate, type Rate, type Timing, weightNoise } from './measure.ts';
import { attentionWork, convGradientWork, decodeWork, dit, ditForward, encodeWork, type Work } from './networks.ts';

const OF = 'of the matrix product 1024³ in the same run';

/** All figures of the engine, or those whose name holds `only`. */
export async function benchEngine(only = ''): Promise<Figure[]> {
  const figures: Figure[] = [];
  await using runtime = openRuntime();
  const rate = await matrixRate(runtime);
  figures.push(
    figure({ name: 'matrix product', value: await rate.measure(), unit: 'GFLOP/s', of: '1024³, float32', floor: null }),
  );

  const works: readonly [name: string, work: () => Work, floor: number | null][] = [
    ['DiT 85M forward', () => ditForward(dit()), 0.8],
    ['DiT D 256 forward', () => ditForward(dit(256, 4, 4)), 0.3],
    ['CV8x8x8 encode 9×256×256', encodeWork, 0.7],
    ['CV8x8x8 decode 9×256×256', decodeWork, 0.7],
    ['attention 1024 tokens, 8 heads × 64', attentionWork, null],
    ['conv gradients 3×3×3, 128 channels, 4×32×32', () => convGradientWork(128, [4, 32, 32]), null],
    ['conv gradients 3×3×3, 64 channels, 4×64×64', () => convGradientWork(64, [4, 64, 64]), null],
  ];
  for (const [name, work, floor] of works) {
    if (!name.includes(only)) continue;
    const { fraction, rate: own, seconds } = await measure(runtime, rate, work());
    figures.push(figure({ name, value: fraction, unit: '×', of: OF, floor }));
    figures.push(figure({ name: `${name}: rate`, value: own, unit: 'GFLOP/s', of: 'products only', floor: null }));
    figures.push(figure({ name: `${name}: time`, value: seconds, unit: 's', of: 'one run', floor: null }));
  }
  await rate.dispose();
  await runtime.dispose();
  if ('DiT 85M training'.includes(only)) figures.push(...(await training()));
  return figures;
}

async function measure(runtime: Runtime, rate: Rate, { outputs, feeds }: Work): Promise<Timing> {
  const weights = (_: string, type: TensorType) => ({ kind: 'value', value: weightNoise(type.shape) }) as const;
  await using session = await runtime.load(compile(outputs, { weights }));
  const flops = countFlops(outputs);
  return await compare(rate, flops, () => session.run(feeds), flops > 1e11 ? 3 : 9);
}

async function training(): Promise<Figure[]> {
  const program = fileURLToPath(new URL('./engine-training.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program], { maxBuffer: 1 << 20 });
  return JSON.parse(stdout) as Figure[];
}
