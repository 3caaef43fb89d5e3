export { DownloadProgressEvent, LanguageModel } from './language-model.ts';
export type {
  Availability,
  LanguageModelCreateOptions,
  LanguageModelOptions,
  LanguageModelPromptOptions,
  SessionInfo,
} from './language-model.ts';
export type {
  ImageValue,
  LanguageModelContent,
  LanguageModelMessage,
  LanguageModelPrompt,
  LanguageModelRole,
} from './messages.ts';
export type { AdapterDescription } from './protocol.ts';
export type { MemoryBudget, MemoryUse } from '@speedq/kernels';
export { SpeedqError } from '@speedq/format';
export type { ErrorCode } from '@speedq/format';

// The engine without a page: a device and a reader of files are passed in.
export { openEngine } from './open-engine.ts';
export type { OpenEngineOptions } from './open-engine.ts';
export type { ModelFiles } from './model-files.ts';
export { packedWeights } from './packed-weights.ts';
export { ChatEngine } from './engine.ts';
export type {
  ChatCodec,
  EngineModel,
  ImageFeaturesHandle,
  ResponseStats,
  RespondOptions,
  TextLogProbs,
} from './engine.ts';
export { Conversation } from './conversation.ts';
export type { ContextOverflow, ConversationOptions } from './conversation.ts';
export { createCodec } from './codec.ts';
export { generate } from './generate.ts';
export type { FinishReason, GenerateOptions, GenerationModel } from './generate.ts';
export type { ResponseConstraint } from './constraint/response-constraint.ts';
export type { TokenConstraint } from './constraint/token-constraint.ts';
export { checkSampling, sampleToken } from './sample.ts';
export type { Sampling } from './sample.ts';
export { promptAfter, promptBefore, reusablePrefix } from './prompt.ts';
export type { ChatMessage, ChatPart, EncodedPrompt, Picture, PlacedPicture } from './prompt.ts';

// Models kept on this device: for pages that list, verify, import and delete them.
export { opfsStorage } from './storage.ts';
export type { ModelStorage } from './storage.ts';
export { isKept, loadedFiles, openModelFiles } from './model-files.ts';
export { chooseGrid } from '@speedq/processor';
