// Parity with the reference implementations, as a function and as what `orrery selftest` prints.
export { type ParityCase, readCase } from './case.ts';
export { relativeL2 } from './compare.ts';
export { type SelftestOptions, type SelftestResult, selftest } from './selftest.ts';
export { type CaseFamily, shippedCases } from './shipped.ts';
