import { expect, it } from 'vitest';
import { DEFAULT_ANSWER_SETTINGS } from '../chat/sampling.ts';
import { SettingsStore } from './settings.ts';

function keptAs(text: string | null) {
  const kept = {
    text,
    getItem: () => kept.text,
    setItem: (_key: string, value: string) => (kept.text = value),
  };
  return kept;
}

it('settings come back', () => {
  const kept = keptAs(null);
  const first = new SettingsStore(kept, 'zh');
  expect(first.state).toEqual({
    theme: 'auto',
    language: 'zh',
    answers: DEFAULT_ANSWER_SETTINGS,
    addedModels: [],
  });
  first.set({
    theme: 'dark',
    language: 'en',
    addedModels: [{ id: 'm', label: 'M', address: './models/m/' }],
  });
  first.setAnswers({ temperature: 0.7, systemPrompt: 'Be brief.' });
  expect(new SettingsStore(kept, 'zh').state).toEqual(first.state);
});

it('what does not fit is left out', () => {
  const kept = keptAs(
    JSON.stringify({
      theme: 'pink',
      language: 'xx',
      answers: { temperature: 99, topK: '3', topP: 0.5, systemPrompt: 4 },
      addedModels: [{ id: '../up', label: 'x', address: 'y' }, null, { id: 'ok', label: 'x', address: 'y' }],
    }),
  );
  expect(new SettingsStore(kept, 'en').state).toEqual({
    theme: 'auto',
    language: 'en',
    answers: { ...DEFAULT_ANSWER_SETTINGS, topP: 0.5 },
    addedModels: [{ id: 'ok', label: 'x', address: 'y' }],
  });
  expect(new SettingsStore(keptAs('{'), 'en').state.theme).toBe('auto');
  expect(new SettingsStore(undefined, 'en').state.theme).toBe('auto');
});
