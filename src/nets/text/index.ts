// Text networks of the guardrail: guard decoders of the Llama and Qwen families, and the small prompt classifier.
export { CACHE_NAMES, type LlamaOptions, type LlamaTap, llama, llamaStep } from './llama.ts';
export { type LlamaConfig, llamaConfig, llamaFrequencies, type RopeScaling } from './llama-config.ts';
export { type LoraConfig, loraConfig, mergeLora } from './lora.ts';
