export { LanguageModel } from './language-model.ts';
export { CreateMonitor, DownloadProgressEvent } from './create-monitor.ts';
export { errorCode } from './prompt-error.ts';
export type { LanguageModelError } from './prompt-error.ts';
export type {
  AnswerUsage,
  Availability,
  LanguageModelAppendOptions,
  LanguageModelCloneOptions,
  LanguageModelCreateOptions,
  LanguageModelExpected,
  LanguageModelOptions,
  LanguageModelPromptOptions,
  SessionInfo,
} from './language-model-options.ts';
export type { SamplingMode } from './sampling-mode.ts';
export type {
  ImageValue,
  LanguageModelContent,
  LanguageModelMessage,
  LanguageModelMessageType,
  LanguageModelPrompt,
  LanguageModelRole,
} from './messages.ts';
export type { AdapterDescription, EngineChoice } from './protocol.ts';
export type { MemoryBudget, MemoryUse } from '@speedq/kernels';
export { SpeedqError } from '@speedq/format';
export type { ErrorCode } from '@speedq/format';

// The engine without a page: a device and a reader of files are passed in.
export { openEngine } from './open-engine.ts';
export type { OpenEngineOptions } from './open-engine.ts';
export type { LoadProgress, ModelFiles, OpenOptions } from './loading/model-files.ts';
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

// For pages that measure the device themselves.
export { describeAdapter, requestAdapter, requestDevice } from './adapter.ts';

// A model's files: from a server, a folder or an archive, kept on this device or in memory.
export { openModelFiles } from './loading/model-files.ts';
export { hubFolderUrl } from './loading/url-source.ts';
export { localSource } from './loading/local-source.ts';
export { isZip, readZip } from './loading/zip.ts';
export type { LocalFile } from './loading/zip.ts';
export type { ModelSource, Transfer } from './loading/source.ts';
export type { RetryOptions } from './loading/backoff.ts';
export { memoryStorage } from './loading/storage.ts';
export type { FileAppender, ModelStorage } from './loading/storage.ts';
export { opfsStorage } from './loading/opfs-storage.ts';
export { claimModel } from './loading/model-claim.ts';
export type { ClaimOptions, ModelClaim } from './loading/model-claim.ts';
export { checkRoom } from './loading/room.ts';
export { isKept } from './loading/model-files.ts';
export { loadedFiles } from './loading/wanted-files.ts';
export { chooseGrid } from '@speedq/processor';
