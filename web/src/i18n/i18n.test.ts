import { expect, it } from 'vitest';
import { en } from './en.ts';
import { preferredLanguage } from './index.ts';
import { zh } from './zh.ts';

it.each([
  [['zh-CN', 'en'], 'zh'],
  [['de', 'en-GB', 'zh'], 'en'],
  [['fr'], 'en'],
  [[], 'en'],
])('%j → %s', (languages, expected) => {
  expect(preferredLanguage(languages)).toBe(expected);
});

it('no text is empty, in any language, and Chinese is Chinese', () => {
  const written = Object.entries(zh).filter(([, text]) => typeof text === 'string') as [string, string][];
  for (const [key, text] of written) expect(text, key).not.toBe('');
  const same = written.filter(([key, text]) => text === en[key as keyof typeof en]).map(([key]) => key);
  // Names and terms that are the same everywhere.
  expect(same.sort()).toEqual(['appName', 'minP', 'topK', 'topP']);
});
