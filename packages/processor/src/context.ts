import { SpeedqError } from '@speedq/format';

/**
 * Checks that a prompt leaves room for an answer.
 * @param promptLength ids in the prompt
 * @param contextLength ids the model can hold, prompt and answer together
 * @param reserve ids to keep free for the answer (default 1)
 * @throws SpeedqError 'context-exceeded'
 */
export function assertFitsContext(promptLength: number, contextLength: number, reserve = 1): void {
  if (promptLength + reserve <= contextLength) return;
  throw new SpeedqError(
    'context-exceeded',
    `The prompt has ${promptLength} tokens and the answer needs at least ${reserve}, ` +
      `${promptLength + reserve - contextLength} more than the context of ${contextLength}. ` +
      'Shorten the text, start a new conversation, or use fewer or smaller pictures.',
  );
}
