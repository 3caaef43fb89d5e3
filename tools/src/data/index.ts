export { type DatasetOptions, type DatasetSummary, testMix, writeDataset } from './dataset.ts';
export { emojiKinds, type EmojiKind } from './emoji.ts';
export {
  createGenerator,
  defaultMix,
  defaultSize,
  type Generator,
  type GeneratorOptions,
  type Split,
} from './generator.ts';
export {
  colours,
  firstClass,
  patchClassCount,
  patchClassNames,
  patchColourCount,
  placeNames,
  shapeNames,
} from './labels.ts';
export { patchSize } from './patches.ts';
export type { LabelledObject, Mix, Question, QuestionType, SceneType, TrainingSample } from './types.ts';
export { type EvaluationRow, readTsv, tsvLine } from './tsv.ts';
