// Layer 3: networks as functions over symbolic tensors. They build graphs; nothing runs here.
export * from './autoregressive/index.ts';
export * from './diffusion/index.ts';
export { type Init, listWeights, namedWeights, scoped, type WeightSpec, type Weights } from './orrery/weights.ts';
export * from './text/index.ts';
export * from './tokenizers/index.ts';
export * from './vision/index.ts';
