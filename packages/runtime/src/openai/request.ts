import { SpeedqError } from '@speedq/format';
import { blobOfDataUrl } from '../adapters/data-url.ts';
import type { LanguageModelPromptOptions } from '../language-model-options.ts';
import type { LanguageModelContent, LanguageModelMessage } from '../messages.ts';
import type { ChatCompletionContentPart, ChatCompletionCreateParams, ResponseFormat } from './types.ts';

const HONOURED = [
  'model',
  'messages',
  'stream',
  'stream_options',
  'max_completion_tokens',
  'max_tokens',
  'temperature',
  'top_p',
  'seed',
  'stop',
  'logprobs',
  'top_logprobs',
  'response_format',
  'n',
];

/** They say something about OpenAI's service, not about the answer. */
const WITHOUT_EFFECT = [
  'metadata',
  'parallel_tool_calls',
  'prompt_cache_key',
  'safety_identifier',
  'service_tier',
  'store',
  'user',
];

/**
 * Refuses what would silently be something else than asked for.
 * @throws {SpeedqError} `unsupported`, `invalid-argument`.
 */
export function checkParams(params: ChatCompletionCreateParams): void {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== null);
  const other = given.filter(([name]) => !HONOURED.includes(name) && !WITHOUT_EFFECT.includes(name));
  if (other.length > 0) {
    throw new SpeedqError(
      'unsupported',
      `${other.map(([name]) => name).join(', ')}: not supported here. Supported are ${HONOURED.join(', ')}.`,
    );
  }
  if ((params.n ?? 1) !== 1)
    throw new SpeedqError('unsupported', 'n: one answer a request; ask again for more.');
  if (!Array.isArray(params.messages) || params.messages.length === 0) {
    throw new SpeedqError('invalid-argument', 'messages must be a list of at least one message.');
  }
  if (typeof params.model !== 'string') {
    throw new SpeedqError('invalid-argument', 'model must be the name or the address of a model.');
  }
  if (params.top_logprobs && !params.logprobs) {
    throw new SpeedqError('invalid-argument', 'top_logprobs needs logprobs: true.');
  }
}

export function toMessages({ messages }: ChatCompletionCreateParams): LanguageModelMessage[] {
  return messages.map(({ role, content }) => {
    const parts: readonly ChatCompletionContentPart[] | string = content;
    return {
      role: role === 'developer' ? 'system' : role,
      content: typeof parts === 'string' ? parts : parts.map(toPart),
    };
  });
}

function toPart(part: ChatCompletionContentPart): LanguageModelContent {
  if (part.type === 'text') return { type: 'text', value: part.text };
  if (part.type !== 'image_url') {
    throw new SpeedqError(
      'unsupported',
      `Parts of type '${(part as { type: string }).type}' are not supported.`,
    );
  }
  const { url } = part.image_url;
  return { type: 'image', value: typeof url === 'string' ? blobOfDataUrl(url) : url };
}

export function toPromptOptions(params: ChatCompletionCreateParams): LanguageModelPromptOptions {
  return {
    maxNewTokens: params.max_completion_tokens ?? params.max_tokens ?? undefined,
    seed: params.seed ?? undefined,
    stop: params.stop ?? undefined,
    responseConstraint: toConstraint(params.response_format),
  };
}

function toConstraint(format: ResponseFormat | null | undefined): object | undefined {
  switch (format?.type) {
    case undefined:
    case 'text':
      return undefined;
    case 'json_object':
      return { type: 'object' };
    case 'json_schema':
      return format.json_schema.schema ?? { type: 'object' };
    default:
      throw new SpeedqError(
        'unsupported',
        `response_format must be of type text, json_object or json_schema; got '${(format as { type: string }).type}'.`,
      );
  }
}
