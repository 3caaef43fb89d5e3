import { isPico } from '../models.ts';
import { PICO_NOTES } from '../pico-notes.ts';
import { SAMPLES, TEXT_QUESTIONS } from '../samples.ts';
import { ask, askSample } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';

/** An empty chat: what can be asked. */
export function Welcome() {
  const app = useApp();
  const t = useText();
  const { choice, loading } = useStore(app.model);
  const { language } = useStore(app.settings);
  const ready = loading.status === 'ready';
  const notes = PICO_NOTES[language];
  const askText = (question: string): void => {
    app.attachments.replaceBy([]);
    void ask(app, question);
  };
  return (
    <section class="welcome">
      <h2>{t.welcomeTitle}</h2>
      <p class="lead">{t.welcomeText}</p>
      {isPico(choice) && (
        <>
          <p class="honest">{notes.summary}</p>
          <h3>{t.trySamples}</h3>
          <ul class="samples">
            {SAMPLES.map((sample) => (
              <li key={sample.file}>
                <img src={`./samples/${sample.file}`} alt={sample.description} width={168} height={168} />
                <div class="questions">
                  {sample.questions.map((question) => (
                    <button
                      key={question}
                      type="button"
                      lang="en"
                      disabled={!ready}
                      onClick={() => void askSample(app, sample, question)}
                    >
                      {question}
                    </button>
                  ))}
                </div>
              </li>
            ))}
          </ul>
          <h3>{t.withoutPicture}</h3>
          <div class="questions">
            {TEXT_QUESTIONS.map((question) => (
              <button
                key={question}
                type="button"
                lang="en"
                disabled={!ready}
                onClick={() => askText(question)}
              >
                {question}
              </button>
            ))}
          </div>
          <details>
            <summary>{t.canAndCannot}</summary>
            <h3>{t.canTitle}</h3>
            <ul>
              {notes.can.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
            <h3>{t.cannotTitle}</h3>
            <ul>
              {notes.cannot.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
          </details>
        </>
      )}
    </section>
  );
}
