// Layer 4: scenes, physics, rendering with ground truth, captions and data sets of simulated worlds.
export {
  eyeOf,
  type Lens,
  lookAt,
  matrixAt,
  type Orbit,
  orbitCamera,
  project,
  toCamera,
} from './cameras.ts';
export { type CaptionOptions, type CaptionStyle, captionOf } from './captions.ts';
export {
  type CheckOptions,
  type CheckRow,
  PHYSICS_FAMILIES,
  type PhysicsCase,
  type PhysicsFamily,
  parsePhysicsFamily,
  runPhysicsCase,
  runPhysicsFamily,
} from './check/index.ts';
export { type DatasetEvent, type DatasetSpec, parseDatasetSpec, writeDataset } from './dataset/write.ts';
export { type BodyState, ENGINE, openPhysics, type Physics, simulate, stepFor } from './physics.ts';
export { surfaceOf } from './physics-pairs.ts';
export {
  type ChannelName,
  type FrameChannels,
  occlusionOf,
} from './render/channels.ts';
export {
  CHANNELS,
  type ClipChannels,
  frameView,
  type RenderClipOptions,
  renderClip,
} from './render/clip.ts';
export { openRenderPool, type PoolClipOptions, type RenderPool } from './render/pool.ts';
export { createRenderer, type Renderer, type RenderOptions } from './render/renderer.ts';
export { type BodyView, type VisibilityMeter, visibilityMeter } from './render/visibility.ts';
export { ARM, type ArmPose, armAt, type Joints } from './robot/arm.ts';
export { clipProblems, energyAt } from './sanity.ts';
export {
  BENCHMARK_SCENARIOS,
  buildScene,
  SCENARIOS,
  type ScenarioName,
  type SceneOptions,
  type SimulatedClip,
  simulateClip,
} from './scenarios/index.ts';
export type {
  Body,
  BodyClass,
  Camera,
  Contact,
  Joint,
  Light,
  Material,
  PairRule,
  Part,
  Path,
  Quat,
  RobotTrack,
  Scene,
  Trajectory,
  Vec3,
} from './scene.ts';
export {
  contactsBetween,
  orientationAt,
  positionAt,
  STATE_FIELDS,
  stateBytes,
  trajectoryHash,
  velocityAt,
} from './trajectory.ts';
export { CLIP_FILES, type ClipFile, type WriteClipEvent, type WriteClipOptions, writeClip } from './write-clip.ts';
