import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'bench/**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Native ONNX Runtime sessions want whole processes, and two cores carry two of them.
    pool: 'forks',
    maxWorkers: 2,
  },
});
