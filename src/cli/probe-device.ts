// A program of its own: runs one tiny graph on a device and prints a JSON line. `doctor` starts it as a child process,
// because a graphics driver that does not fit can end the whole process instead of raising an error.
import { f32 } from '../base/index.ts';
import { compile, input, matmul } from '../graph/index.ts';
import { type Device, openRuntime } from '../runtime/index.ts';

try {
  await using runtime = openRuntime({ device: process.argv[2] as Device, threads: 1 });
  const a = input('a', [2, 2]);
  const session = await runtime.load(compile({ y: matmul(a, a) }));
  const { y } = await session.run({ a: f32([2, 2], [1, 2, 3, 4]) });
  const values = Array.from(y!.data as Float32Array);
  const isRight = [7, 10, 15, 22].every((want, i) => Math.abs(want - values[i]!) < 1e-4);
  finish({ isAvailable: isRight, reason: isRight ? '' : `a 2×2 product came out as ${values.join(', ')}` });
} catch (error) {
  finish({ isAvailable: false, reason: error instanceof Error ? error.message : String(error) });
}

function finish(result: { readonly isAvailable: boolean; readonly reason: string }): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
