export { createWebGPUModel } from './model/webgpu-model.ts';
export type { WebGPUModel, WebGPUModelOptions } from './model/webgpu-model.ts';
export type { ImageFeatures } from './model/image-features.ts';
export { floatWeights } from './weights/float-weights.ts';
export type { StoredTensor, WeightShard, WeightSource } from './weights/source.ts';
