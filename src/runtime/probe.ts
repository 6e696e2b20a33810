// A program of its own: runs one tiny graph on a device and prints a JSON line. It is a child process because a graphics
// driver that does not fit can end the whole process instead of raising an error.
import * as ort from 'onnxruntime-node';
import { compile, input, matmul } from '../graph/index.ts';

let reason = '';
try {
  const a = input('a', [2, 2]);
  const session = await ort.InferenceSession.create(compile({ y: matmul(a, a) }).onnx, {
    executionProviders: [process.argv[2]!],
    logSeverityLevel: 4,
  });
  const { y } = await session.run({ a: new ort.Tensor('float32', Float32Array.of(1, 2, 3, 4), [2, 2]) });
  const values = Array.from(y!.data as Float32Array);
  if (![7, 10, 15, 22].every((want, i) => Math.abs(want - values[i]!) < 1e-3)) {
    reason = `a 2×2 product came out as ${values.join(', ')}`;
  }
} catch (error) {
  reason = String((error as Error).message ?? error) || 'unknown reason';
}
process.stdout.write(`${JSON.stringify({ reason })}\n`);
