// Layer 4: is the network right, and is the world right? Today: the self-test against reference cases.
export * from './selftest/index.ts';
