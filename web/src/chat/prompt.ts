import type { LanguageModelContent, LanguageModelMessage } from '@speedq/runtime';
import type { Message } from './types.ts';

export interface PromptParts {
  readonly initialPrompts: readonly LanguageModelMessage[];
  /** The question, and for `continuing` the beginning of its answer. */
  readonly prompt: readonly LanguageModelMessage[];
}

export interface PromptOptions {
  /** Otherwise every question is asked by itself, with its pictures. */
  readonly remembersTurns: boolean;
  readonly systemPrompt: string;
  readonly pictureOf: (id: string) => Blob | undefined;
}

/** What the model is given for the last message of `path`, which is a question. */
export function promptFor(path: readonly Message[], options: PromptOptions): PromptParts {
  const question = path.at(-1);
  if (question?.role !== 'user') throw new TypeError('A path that is answered ends with a question');
  const history = options.remembersTurns ? answeredTurns(path.slice(0, -1)) : [];
  const sent = new Set<string>();
  const toMessage = (message: Message): LanguageModelMessage => ({
    role: message.role,
    content: message.role === 'assistant' ? message.text : contentOf(message, sent, options),
  });
  const system: LanguageModelMessage[] =
    options.systemPrompt.trim() === '' ? [] : [{ role: 'system', content: options.systemPrompt.trim() }];
  return { initialPrompts: [...system, ...history.map(toMessage)], prompt: [toMessage(question)] };
}

/** A question that got no answer would only confuse the model. */
function answeredTurns(path: readonly Message[]): Message[] {
  return path.filter((message, i) => {
    const answer = message.role === 'user' ? path[i + 1] : message;
    return answer?.role === 'assistant' && answer.text !== '';
  });
}

/** Pictures come first, and each only once in a conversation. */
function contentOf(
  { text, pictures }: Message,
  sent: Set<string>,
  { pictureOf }: PromptOptions,
): LanguageModelContent[] {
  const content: LanguageModelContent[] = [];
  for (const id of pictures) {
    const blob = pictureOf(id);
    if (!blob || sent.has(id)) continue;
    sent.add(id);
    content.push({ type: 'image', value: blob });
  }
  return [...content, { type: 'text', value: text }];
}
