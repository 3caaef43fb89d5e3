export { Graph, type Tensor, type Shape, type GradientRule } from './graph.ts';
export * as primitives from './primitives.ts';
export { differentiate } from './autodiff.ts';
export { OnnxOps, type LanguageContext } from './onnx-ops.ts';
export { Session, type Feed, type OrtModule, type SessionOptions } from './session.ts';
export { OnnxModel, parameterFeeds, parameterInputs, placeFeatures, type Parameters } from './inference.ts';
export { MASKED, rotaryTable } from './rotary.ts';
export { crossEntropy, logSoftmax } from './losses.ts';
export { ADAMW_DEFAULTS, adamwStep, type AdamWSettings } from './adamw.ts';
