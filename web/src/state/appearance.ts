import { LANGUAGE_TAGS } from '../i18n/index.ts';
import type { SettingsStore } from './settings.ts';

/** The page's language and colours, now and whenever the settings change. */
export function applyAppearance(settings: SettingsStore): void {
  const apply = (): void => {
    const { language, theme } = settings.state;
    const root = document.documentElement;
    root.lang = LANGUAGE_TAGS[language];
    if (theme === 'auto') delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const meta of document.querySelectorAll<HTMLMetaElement>('meta[name=theme-color]')) {
      const own = meta.dataset.scheme === 'dark' ? 'dark' : 'light';
      meta.media = theme === 'auto' ? `(prefers-color-scheme: ${own})` : theme === own ? 'all' : 'not all';
    }
  };
  settings.subscribe(apply);
  apply();
}
