import type { LanguageModelV3CallOptions, LanguageModelV3Prompt, SharedV3Warning } from '@ai-sdk/provider';
import { SpeedqError } from '@speedq/format';
import { blobOfDataUrl, bytesOfBase64 } from '../adapters/data-url.ts';
import type { LanguageModelContent, LanguageModelMessage } from '../messages.ts';

/** @throws {SpeedqError} `unsupported`, `invalid-argument`. */
export function toMessages(prompt: LanguageModelV3Prompt): LanguageModelMessage[] {
  return prompt.map((message): LanguageModelMessage => {
    switch (message.role) {
      case 'system':
        return { role: 'system', content: message.content };
      case 'user':
        return { role: 'user', content: message.content.map(toPart) };
      case 'assistant':
        return {
          role: 'assistant',
          // What the model thought is not part of what it said.
          content: message.content.filter(({ type }) => type !== 'reasoning').map(toPart),
        };
      case 'tool':
        throw new SpeedqError('unsupported', 'Results of tools are not supported: the models call no tools.');
    }
  });
}

type Part = Extract<LanguageModelV3Prompt[number], { role: 'user' | 'assistant' }>['content'][number];

function toPart(part: Part): LanguageModelContent {
  if (part.type === 'text') return { type: 'text', value: part.text };
  if (part.type !== 'file' || !/^image(\/|$)/.test(part.mediaType)) {
    const what = part.type === 'file' ? `files of type ${part.mediaType}` : `parts of type '${part.type}'`;
    throw new SpeedqError('unsupported', `Messages cannot hold ${what}: only text and pictures.`);
  }
  return { type: 'image', value: toBlob(part.data, part.mediaType) };
}

function toBlob(data: Uint8Array | string | URL, mediaType: string): Blob {
  if (data instanceof URL) return blobOfDataUrl(data.href);
  if (typeof data !== 'string') return new Blob([Uint8Array.from(data)], { type: mediaType });
  return data.startsWith('data:')
    ? blobOfDataUrl(data)
    : new Blob([bytesOfBase64(data)], { type: mediaType });
}

/** What was asked for and is not done; by the SDK's rules that is no error. */
export function warningsOf(options: LanguageModelV3CallOptions): SharedV3Warning[] {
  const { frequencyPenalty, presencePenalty, tools = [], toolChoice } = options;
  const warnings: SharedV3Warning[] = [];
  const warn = (feature: string, details: string): void =>
    void warnings.push({ type: 'unsupported', feature, details });
  if (frequencyPenalty) warn('frequencyPenalty', 'Use the provider option repetitionPenalty.');
  if (presencePenalty) warn('presencePenalty', 'Use the provider option repetitionPenalty.');
  if (tools.length > 0) warn('tools', 'The models call no tools.');
  else if (toolChoice && toolChoice.type !== 'auto' && toolChoice.type !== 'none') {
    warn('toolChoice', 'The models call no tools.');
  }
  return warnings;
}
