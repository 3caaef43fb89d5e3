import type { LanguageModelCreateOptions } from '@speedq/runtime';

/** How answers are chosen and how long they may get. */
export interface AnswerSettings {
  /** 0: the most probable token, always. */
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  /** 1: none. */
  readonly repetitionPenalty: number;
  readonly maxNewTokens: number;
  readonly systemPrompt: string;
}

/** What each number may be; also the attributes of its field. */
export const ANSWER_LIMITS = {
  temperature: { min: 0, max: 2, step: 0.1 },
  topK: { min: 1, max: 200, step: 1 },
  topP: { min: 0.05, max: 1, step: 0.05 },
  minP: { min: 0, max: 0.5, step: 0.01 },
  repetitionPenalty: { min: 1, max: 2, step: 0.05 },
  maxNewTokens: { min: 16, max: 2048, step: 16 },
} as const;

/** 512 tokens are a page of text; a model that rambles is stopped there. */
export const DEFAULT_ANSWER_SETTINGS: AnswerSettings = {
  temperature: 0,
  topK: 40,
  topP: 0.95,
  minP: 0,
  repetitionPenalty: 1,
  maxNewTokens: 512,
  systemPrompt: '',
};

/** The options of `LanguageModel.create` for these settings. */
export function samplingOptions({
  temperature,
  topK,
  topP,
  minP,
  repetitionPenalty,
}: AnswerSettings): Pick<
  LanguageModelCreateOptions,
  'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty'
> {
  return {
    temperature,
    ...(temperature === 0 ? {} : { topK, topP, minP }),
    ...(repetitionPenalty === 1 ? {} : { repetitionPenalty }),
  };
}
