import { ANSWER_LIMITS, DEFAULT_ANSWER_SETTINGS } from '../chat/sampling.ts';
import type { AnswerSettings } from '../chat/sampling.ts';
import type { Language } from '../i18n/index.ts';
import { isModelId } from '../models.ts';
import type { ModelChoice } from '../models.ts';
import { Store } from './store.ts';

export type Theme = 'auto' | 'light' | 'dark';

export interface Settings {
  readonly theme: Theme;
  readonly language: Language;
  readonly answers: AnswerSettings;
  /** Models that a person added. */
  readonly addedModels: readonly ModelChoice[];
}

const KEY = 'speedq-settings';

type Kept = Pick<Storage, 'getItem' | 'setItem'>;

/** What a person has set, kept in this browser. */
export class SettingsStore extends Store<Settings> {
  private readonly kept: Kept | undefined;

  constructor(kept: Kept | undefined, preferred: Language) {
    super(readSettings(kept, preferred));
    this.kept = kept;
  }

  set(change: Partial<Settings>): void {
    this.update(change);
    try {
      this.kept?.setItem(KEY, JSON.stringify(this.state));
    } catch {
      // A browser that keeps nothing: the settings last as long as the page.
    }
  }

  setAnswers(change: Partial<AnswerSettings>): void {
    this.set({ answers: { ...this.state.answers, ...change } });
  }
}

/** Whatever is kept may be of an older version or edited by hand: what does not fit is left out. */
function readSettings(kept: Kept | undefined, preferred: Language): Settings {
  let found: Record<string, unknown> = {};
  try {
    found = asRecord(JSON.parse(kept?.getItem(KEY) ?? '{}'));
  } catch {
    // Damaged, or the browser refuses.
  }
  const answers = asRecord(found.answers);
  const number = (name: keyof typeof ANSWER_LIMITS): number => {
    const { min, max } = ANSWER_LIMITS[name];
    const value = answers[name];
    return typeof value === 'number' && value >= min && value <= max ? value : DEFAULT_ANSWER_SETTINGS[name];
  };
  return {
    theme: found.theme === 'light' || found.theme === 'dark' ? found.theme : 'auto',
    language: found.language === 'en' || found.language === 'zh' ? found.language : preferred,
    answers: {
      temperature: number('temperature'),
      topK: number('topK'),
      topP: number('topP'),
      minP: number('minP'),
      repetitionPenalty: number('repetitionPenalty'),
      maxNewTokens: number('maxNewTokens'),
      systemPrompt: typeof answers.systemPrompt === 'string' ? answers.systemPrompt.slice(0, 10_000) : '',
    },
    addedModels: (Array.isArray(found.addedModels) ? found.addedModels : []).map(asRecord).flatMap(asModel),
  };
}

function asModel({ id, label, address }: Record<string, unknown>): ModelChoice[] {
  if (typeof id !== 'string' || typeof label !== 'string' || typeof address !== 'string') return [];
  return isModelId(id) ? [{ id, label, address }] : [];
}

function asRecord(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
