// Text networks: the T5 encoders of the world models, guard decoders of the Llama and Qwen families; tokenizers of published models.
export { layerFeatures, layerFeatureWidth } from './layer-features.ts';
export { CACHE_NAMES, type LlamaOptions, type LlamaTap, llama, llamaStates, llamaStep } from './llama.ts';
export { type LlamaConfig, llamaConfig, llamaFrequencies, type RopeScaling } from './llama-config.ts';
export { type LoraConfig, loraConfig, mergeLora } from './lora.ts';
export { type PromptNetConfig, promptNet } from './prompt-net.ts';
export { sentencePieceTokenizer, type TokenizerJson } from './sentencepiece.ts';
export { isUnusedT5Key, relativeBucket, T5_11B, type T5Config, t5Config, t5Encoder } from './t5.ts';
export { type TextTokenizer, textTokenizer } from './text-tokenizer.ts';
