export type { InternVLConfig } from './config.ts';
export type { CausalAttention, Epilogue, Linear, Norm, Ops, PatchEmbedding } from './ops.ts';
export {
  EMBEDDING,
  HEAD,
  imageFeatures,
  languageBlock,
  languageEmbed,
  languageHead,
  languageModel,
  projector,
  visionBlock,
  visionEmbed,
} from './forward.ts';
export { parseConfig } from './config.ts';
export { elementCount, parameterInventory } from './inventory.ts';
export type { ModelPart, ParameterRole, ParameterSpec } from './inventory.ts';
export { canonicalTensors } from './checkpoint.ts';
export { canonicalNames } from './tensor-names.ts';
export type { CanonicalName } from './tensor-names.ts';
export type { RawTensorSource, TensorSource } from './checkpoint.ts';
