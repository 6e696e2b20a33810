// Layer 3: what moves in a video and where it goes by itself: dense flow, moving regions, and the two predictions without learning
// (everything stands still, everything goes on). World models start from them, benchmarks compare with them.
export { type Baseline, constantVelocity, repeatLastFrame } from './baselines.ts';
export { clustersOf, colourAxes, nearestColour, type Palette, paletteOf } from './colours.ts';
export { denseFlow, endpointError, meanLength, type PlaneSize, sampleAt, warpBack } from './flow.ts';
export { lowerMedian } from './median.ts';
export { lumaOf, type MotionOptions, type MotionStages, morph, motionMasks } from './motion-mask.ts';
export { type OpenCv, openCv, withMats } from './opencv.ts';
export { fillHoles, regionsOf } from './regions.ts';
