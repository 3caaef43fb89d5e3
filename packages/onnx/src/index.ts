export { Graph, type ExternalPlace, type GradientRule, type Shape, type Tensor } from './graph.ts';
export * as primitives from './primitives.ts';
export { differentiate } from './autodiff.ts';
export { OnnxOps, type LanguageContext, type OnnxOpsOptions } from './onnx-ops.ts';
export { OnnxModel } from './inference.ts';
export { parameterFeeds, parameterInputs, type Parameters, type ParameterValues } from './parameters.ts';
export { placeFeatures } from './place-features.ts';
export { type SequenceBatch } from './sequence-batch.ts';
export {
  Session,
  type ExecutionProvider,
  type Feed,
  type OrtModule,
  type SessionOptions,
} from './session.ts';
export { DeviceMemory, hostMemory, type FloatStorage, type Memory } from './memory.ts';
export { MASKED, rotaryTable } from './rotary.ts';
export { crossEntropy, distillation, logSoftmax } from './losses.ts';
export { learnedQuantize } from './learned-quantize.ts';
export { fakeQuantize, type FakeQuantizeOptions } from './fake-quantize.ts';
export { ADAMW_DEFAULTS, adamwCoefficients, adamwNodes, adamwStep, type AdamWSettings } from './adamw.ts';
export { learnedNames } from './qat/graph-parameters.ts';
export { createQatStep, createResidentStep } from './qat/create-step.ts';
export {
  TeacherForward,
  meanTopProbability,
  type TeacherOptions,
  type TeacherResult,
} from './qat/teacher.ts';
export { IGNORED, answerRows, type AnswerRows, type AnswerRowsOptions } from './qat/answer-rows.ts';
export { attentionMask } from './qat/language-inputs.ts';
export type {
  LanguageInputs,
  MicroBatch,
  Partition,
  QatInputs,
  QatLoss,
  QatLosses,
  QatResult,
  QatStep,
  QatStepOptions,
  ResidentOptions,
  ResidentStep,
  TrunkOptions,
} from './qat/options.ts';
export { VisionForward, type VisionForwardOptions } from './vision-forward.ts';
export { hasHalfStorage, hasWebgpuProvider, requireProvider } from './providers.ts';
export { blockConstants, matMulNBits, type AccuracyLevel, type BlockWeights } from './matmul-nbits.ts';
export { timeMatMulNBits, type MatMulNBitsCase } from './time-matmul-nbits.ts';
