import type { LanguageModelExpected, LanguageModelOptions } from './language-model-options.ts';
import type { LanguageModelMessageType } from './messages.ts';
import { typeError } from './prompt-error.ts';

const TYPES: readonly LanguageModelMessageType[] = ['text', 'image', 'audio', 'tool-call', 'tool-response'];

type Expectations = Pick<LanguageModelOptions, 'expectedInputs' | 'expectedOutputs' | 'tools'>;

/**
 * Whether what a session is to take and give is what the models here can.
 * @throws TypeError for what is no expectation at all; RangeError for a language that is no BCP 47 tag.
 */
export function checkExpectations({
  expectedInputs = [],
  expectedOutputs = [],
  tools = [],
}: Expectations): boolean {
  for (const expected of [...expectedInputs, ...expectedOutputs]) checkExpected(expected);
  return (
    expectedInputs.every(({ type }) => type === 'text' || type === 'image') &&
    expectedOutputs.every(({ type }) => type === 'text') &&
    tools.length === 0
  );
}

/** What prompts may hold: text always. */
export function expectedTypes({ expectedInputs = [] }: Expectations): Set<LanguageModelMessageType> {
  return new Set(['text', ...expectedInputs.map(({ type }) => type)]);
}

function checkExpected({ type, languages }: LanguageModelExpected): void {
  if (!TYPES.includes(type)) {
    throw typeError(`An expected type must be one of ${TYPES.join(', ')}; got '${type}'.`);
  }
  if (languages !== undefined) Intl.getCanonicalLocales([...languages]);
}
