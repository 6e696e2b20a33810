// Layer 1: file formats. `*.node.ts` files use Node's file system; all others also run in browsers.
export {
  DATASET_SPLITS,
  type Dataset,
  type DatasetClip,
  type DatasetClipMeta,
  type DatasetSplit,
  openDataset,
} from './dataset.node.ts';
export {
  createPendingFile,
  diskError,
  type PendingFile,
  writeFileAtomic,
  writeFully,
} from './files.node.ts';
export {
  createSafetensorsWriter,
  openSafetensors,
  type SafetensorsFile,
  type SafetensorsWriter,
  writeSafetensors,
} from './safetensors.node.ts';
export {
  decodeTensor,
  encodeSafetensors,
  findEntry,
  layoutSafetensors,
  MAX_HEADER_BYTES,
  parseSafetensors,
  type SafetensorsHeader,
  STORED_BYTES,
  type StoredDType,
  TENSOR_ALIGNMENT,
  type TensorEntry,
  type TensorSpec,
} from './safetensors.ts';
