// Layer 2: what lies on disk between commands: model folders and run folders.
export { type ModelRecord, openModelFolder, shippedModels } from './model-folder.ts';
export { createRunFolder, type RunFolder } from './run-folder.ts';
