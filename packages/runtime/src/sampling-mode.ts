import { typeError } from './prompt-error.ts';
import type { PromptRequest } from './protocol.ts';
import { checkSampling } from './sample.ts';

/** How varied answers are, in the Prompt API's words. */
export type SamplingMode = 'most-predictable' | 'predictable' | 'balanced' | 'creative' | 'most-creative';

type Numbers = Pick<PromptRequest, 'temperature' | 'topK' | 'topP' | 'minP' | 'repetitionPenalty'>;
export type SessionSampling = Numbers & { readonly temperature: number };

const MODES: Readonly<Record<SamplingMode, SessionSampling>> = {
  'most-predictable': { temperature: 0 },
  predictable: { temperature: 0.3, topP: 0.9 },
  balanced: { temperature: 0.7, topP: 0.95 },
  creative: { temperature: 1, minP: 0.05 },
  'most-creative': { temperature: 1.3, minP: 0.03 },
};

export interface ChosenSampling {
  /** Undefined where numbers were given. */
  readonly mode: SamplingMode | undefined;
  readonly sampling: SessionSampling;
}

/** @throws {TypeError} for a mode that is none, or that comes with numbers; what `checkSampling` throws. */
export function chooseSampling({
  samplingMode,
  temperature,
  topK,
  topP,
  minP,
  repetitionPenalty,
}: Numbers & { readonly samplingMode?: SamplingMode }): ChosenSampling {
  const draws = [temperature, topK, topP, minP].some((value) => value !== undefined);
  if (samplingMode !== undefined) {
    if (!Object.hasOwn(MODES, samplingMode)) {
      throw typeError(
        `samplingMode must be one of ${Object.keys(MODES).join(', ')}; got '${samplingMode as string}'.`,
      );
    }
    if (draws) {
      throw typeError(
        'Give either samplingMode or temperature, topK, topP and minP: they exclude each other.',
      );
    }
    return { mode: samplingMode, sampling: { ...MODES[samplingMode], repetitionPenalty } };
  }
  // A penalty alone leaves decoding greedy.
  const sampling = { temperature: temperature ?? (draws ? 1 : 0), topK, topP, minP, repetitionPenalty };
  checkSampling(sampling);
  return { mode: draws ? undefined : 'most-predictable', sampling };
}
