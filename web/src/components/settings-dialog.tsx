import { useId, useRef } from 'preact/hooks';
import { ANSWER_LIMITS, DEFAULT_ANSWER_SETTINGS } from '../chat/sampling.ts';
import { LANGUAGES } from '../i18n/index.ts';
import type { Language } from '../i18n/index.ts';
import { exportAllChats } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import type { Theme } from '../state/settings.ts';
import { useStore } from '../state/store.ts';
import { Dialog } from './dialog.tsx';

export function SettingsDialog({ onClose }: { onClose: () => void }) {
  const app = useApp();
  const t = useText();
  const { settings } = app;
  const { language, theme, answers } = useStore(settings);
  const { chats } = useStore(app.chats);
  const greedy = answers.temperature === 0;
  return (
    <Dialog title={t.settings} onClose={onClose}>
      <div class="fields">
        <Choice
          label={t.language}
          value={language}
          options={Object.entries(LANGUAGES).map(([value, texts]) => [value, texts.languageName])}
          onChange={(value) => settings.set({ language: value as Language })}
        />
        <Choice
          label={t.theme}
          value={theme}
          options={[
            ['auto', t.themeAuto],
            ['light', t.themeLight],
            ['dark', t.themeDark],
          ]}
          onChange={(value) => settings.set({ theme: value as Theme })}
        />
      </div>
      <h3>{t.answers}</h3>
      <div class="fields">
        <Instructions />
        <Slider name="temperature" label={t.temperature} hint={t.temperatureText} />
        <Slider name="topK" label={t.topK} disabled={greedy} />
        <Slider name="topP" label={t.topP} disabled={greedy} />
        <Slider name="minP" label={t.minP} disabled={greedy} />
        <Slider name="repetitionPenalty" label={t.repetitionPenalty} />
        <Slider name="maxNewTokens" label={t.maxNewTokens} />
        <button
          type="button"
          class="quiet"
          onClick={() => settings.set({ answers: DEFAULT_ANSWER_SETTINGS })}
        >
          {t.restoreDefaults}
        </button>
      </div>
      <h3>{t.data}</h3>
      <p class="aside">{t.dataText}</p>
      <div class="buttons">
        <button type="button" disabled={chats.length === 0} onClick={() => void exportAllChats(app)}>
          {t.exportAll}
        </button>
        <DeleteAll disabled={chats.length === 0} />
      </div>
    </Dialog>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly (readonly [value: string, text: string])[];
  onChange: (value: string) => void;
}

/** A few alternatives side by side: radio buttons in the shape of one control. */
function Choice({ label, value, options, onChange }: ChoiceProps) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend>{label}</legend>
      <div class="segments">
        {options.map(([option, text]) => (
          <label key={option}>
            <input
              type="radio"
              name={name}
              value={option}
              checked={option === value}
              onChange={() => onChange(option)}
            />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function Instructions() {
  const { settings } = useApp();
  const t = useText();
  const id = useId();
  const { answers } = useStore(settings);
  return (
    <div class="field">
      <label for={id}>{t.instructions}</label>
      <textarea
        id={id}
        rows={3}
        maxLength={10_000}
        value={answers.systemPrompt}
        onInput={(event) => settings.setAnswers({ systemPrompt: event.currentTarget.value })}
      />
      <p class="aside">{t.instructionsText}</p>
    </div>
  );
}

interface SliderProps {
  name: keyof typeof ANSWER_LIMITS;
  label: string;
  hint?: string;
  disabled?: boolean;
}

function Slider({ name, label, hint, disabled = false }: SliderProps) {
  const { settings } = useApp();
  const id = useId();
  const value = useStore(settings).answers[name];
  const { min, max, step } = ANSWER_LIMITS[name];
  return (
    <div class="field" data-disabled={disabled}>
      <label for={id}>{label}</label>
      <output for={id}>{value}</output>
      <input
        id={id}
        type="range"
        min={min}
        max={max}
        step={step}
        value={value}
        disabled={disabled}
        onInput={(event) => settings.setAnswers({ [name]: event.currentTarget.valueAsNumber })}
      />
      {hint && <p class="aside">{hint}</p>}
    </div>
  );
}

function DeleteAll({ disabled }: { disabled: boolean }) {
  const app = useApp();
  const t = useText();
  const question = useRef<HTMLDialogElement>(null);
  const remove = (): void => {
    question.current?.close();
    app.answering.stop();
    app.attachments.replaceBy([]);
    void app.chats.removeAll();
  };
  return (
    <>
      <button type="button" class="danger" disabled={disabled} onClick={() => question.current?.showModal()}>
        {t.deleteAll}
      </button>
      <dialog ref={question} class="small-dialog" aria-label={t.deleteAllSure}>
        <div class="dialog-body">
          <p>{t.deleteAllSure}</p>
          <div class="buttons">
            <button type="button" class="danger" onClick={remove}>
              {t.remove}
            </button>
            <button type="button" onClick={() => question.current?.close()}>
              {t.cancel}
            </button>
          </div>
        </div>
      </dialog>
    </>
  );
}
