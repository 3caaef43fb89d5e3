import { SpeedqError } from '@speedq/format';
import { basename } from 'node:path';
import type { Question } from '../question.ts';
import { accuracyBySplit, circularAccuracy, circularGroup } from './accuracy.ts';
import { hallusionScore, isRightYesOrNo, yesOrNoPrompt } from './hallusion-bench.ts';
import { isRightOption, isRightOptionOrAnswer, multipleChoicePrompt } from './multiple-choice.ts';
import { acceptedAnswers, holdsAnswer, ocrScore, wordOrPhrasePrompt } from './ocr-bench.ts';
import type { Benchmark } from './types.ts';

const answerOf = ({ answer }: Question): string => answer;

function multipleChoice(name: string, splits: readonly string[], more: Partial<Benchmark> = {}): Benchmark {
  return {
    name,
    splits,
    prompt: multipleChoicePrompt,
    isHit: isRightOption,
    summarize: (scored) => accuracyBySplit(splits, scored),
    maxTiles: 6,
    target: answerOf,
    ...more,
  };
}

function circular(name: string, splits: readonly string[]): Benchmark {
  return multipleChoice(name, splits, {
    summarize: (scored) => circularAccuracy(splits, scored),
    unit: circularGroup,
  });
}

/** The nine data sets of the paper. Tiles and doubling as VLMEvalKit's InternVLChat sets them (V2.0). */
export const BENCHMARKS: readonly Benchmark[] = [
  {
    name: 'HallusionBench',
    splits: [],
    prompt: yesOrNoPrompt,
    isHit: isRightYesOrNo,
    summarize: hallusionScore,
    maxTiles: 6,
    target: answerOf,
  },
  multipleChoice('AI2D_TEST', []),
  {
    name: 'OCRBench',
    splits: [],
    prompt: wordOrPhrasePrompt,
    isHit: holdsAnswer,
    summarize: ocrScore,
    maxTiles: 24,
    target: (question) => acceptedAnswers(question)[0] ?? '',
  },
  circular('MMBench_DEV_EN_V11', ['dev']),
  circular('MMBench_DEV_CN_V11', ['dev']),
  multipleChoice('MMStar', []),
  multipleChoice('MMMU_DEV_VAL', ['validation', 'dev'], {
    isHit: isRightOptionOrAnswer,
    maxTiles: 12,
    doublesFirstPicture: true,
  }),
  multipleChoice('ScienceQA_VAL', ['val']),
  multipleChoice('SEEDBench_IMG', []),
];

/** By --dataset, else by the file's name; undefined for data of anybody's own. @throws {SpeedqError} `invalid-argument`. */
export function chooseBenchmark(name: string | undefined, file: string): Benchmark | undefined {
  const wanted = name ?? basename(file).replace(/(_local)?\.tsv$/i, '');
  const found = BENCHMARKS.find((benchmark) => benchmark.name === wanted);
  if (found !== undefined || name === undefined) return found;
  throw new SpeedqError(
    'invalid-argument',
    `There is no data set ${name}; expected one of ${BENCHMARKS.map((one) => one.name).join(', ')}.`,
  );
}

export type { Benchmark, BenchmarkScore } from './types.ts';
