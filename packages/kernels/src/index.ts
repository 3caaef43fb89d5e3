export { createWebGPUModel } from './model/webgpu-model.ts';
export type { WebGPUModel } from './model/webgpu-model.ts';
export type { WebGPUModelOptions } from './model/options.ts';
export { memoryBudget } from './model/memory.ts';
export type { MemoryBudget, MemoryUse } from './model/memory.ts';
export type { ImageFeatures } from './model/image-features.ts';
export { floatWeights } from './weights/float-weights.ts';
export type { StoredTensor, WeightShard, WeightSource } from './weights/source.ts';
