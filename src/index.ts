// The main door: worlds from a sentence, an image or a video. Everything else has a door of its own (`orrery/graph`, …).
export { InputError, OrreryError } from './base/index.ts';
export {
  type GenerateEvent,
  type GenerateOptions,
  type GenerateRequest,
  generate,
  type TokenizeEvent,
  type TokenizeOptions,
  tokenize,
} from './worlds/index.ts';
