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
