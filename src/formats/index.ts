// Layer 1: file formats. `*.node.ts` files use Node's file system; all others also run in browsers.
export {
  BLOCK,
  type BlockBits,
  type BlockForm,
  type BlockMatrix,
  blockBytes,
  packBlocks,
  unpackBlocks,
} from './blocks.ts';
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
  makeFolder,
  openFileAccess,
  type PendingFile,
  writeFileAtomic,
  writeFully,
} from './files.node.ts';
export {
  fillPattern,
  isLerobot,
  type Lerobot,
  type LerobotEpisode,
  type LerobotVideo,
  lerobotActions,
  openLerobot,
} from './lerobot.node.ts';
export { type McapChannel, type McapMessage, type ReadAt, readMcap, type Unlz4 } from './mcap.ts';
export { readNpy } from './npy.ts';
export { arraysOfPickle } from './numpy-pickle.ts';
export { type Column, type ColumnType, parquetColumns, readParquet, writeParquet } from './parquet.node.ts';
export { PICKLE_LIMITS, type Pickle, type PickleValue, readPickle } from './pickle.ts';
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
export { createTar, readTar, readWebDataset, type TarMember, type TarWriter } from './tar.node.ts';
export type { TensorInfo, TensorPlace, TensorSource } from './tensor-source.ts';
export { openShards, openTensors } from './tensors.node.ts';
export { openTorch, type TorchFile, torchFrom } from './torch.node.ts';
export { codeNames, type TorchContents, type TorchTensor, torchContents } from './torch.ts';
export { type TorchTensorSource, type WriteTorchOptions, writeTorch, writeTorchSteps } from './torch-writer.node.ts';
export { bytesAccess, openZip, type RandomAccess, type ZipArchive, type ZipEntry } from './zip.ts';
