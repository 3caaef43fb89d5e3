import { en } from './en.ts';
import { zh } from './zh.ts';

export type { Dictionary } from './en.ts';

export const LANGUAGES = { en, zh } as const;

export type Language = keyof typeof LANGUAGES;

/** For `lang`: screen readers choose the voice by it, browsers the fonts. */
export const LANGUAGE_TAGS: Readonly<Record<Language, string>> = { en: 'en', zh: 'zh-Hans' };

/** The first of a person's languages that the page speaks. */
export function preferredLanguage(languages: readonly string[]): Language {
  for (const tag of languages) {
    if (/^zh\b/i.test(tag)) return 'zh';
    if (/^en\b/i.test(tag)) return 'en';
  }
  return 'en';
}
