import { PICO_NOTES } from '../pico-notes.ts';
import { SAMPLES, TEXT_QUESTIONS } from '../samples.ts';
import type { Sample } from '../samples.ts';

interface WelcomeProps {
  isPico: boolean;
  ready: boolean;
  onSample: (sample: Sample, question: string) => void;
  onText: (question: string) => void;
}

export function Welcome({ isPico, ready, onSample, onText }: WelcomeProps) {
  return (
    <section class="welcome">
      <h2>Ask about a picture</h2>
      <p>
        Drop, paste or choose one, then ask. The model runs in this page: no picture and no question leaves
        your device, and after this visit it works with the network off.
      </p>
      {isPico && (
        <>
          <p class="honest">{PICO_NOTES.summary}</p>
          <ul class="samples">
            {SAMPLES.map((sample) => (
              <li key={sample.file}>
                <img src={`./samples/${sample.file}`} alt={sample.description} width={168} height={168} />
                <div class="questions">
                  {sample.questions.map((question) => (
                    <button
                      key={question}
                      type="button"
                      disabled={!ready}
                      onClick={() => onSample(sample, question)}
                    >
                      {question}
                    </button>
                  ))}
                </div>
              </li>
            ))}
          </ul>
          <div class="questions">
            {TEXT_QUESTIONS.map((question) => (
              <button key={question} type="button" disabled={!ready} onClick={() => onText(question)}>
                {question}
              </button>
            ))}
          </div>
          <details>
            <summary>What pico can and cannot do</summary>
            <h3>It was trained on</h3>
            <ul>
              {PICO_NOTES.can.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
            <h3>It is not made for</h3>
            <ul>
              {PICO_NOTES.cannot.map((line) => (
                <li key={line}>{line}</li>
              ))}
            </ul>
          </details>
        </>
      )}
    </section>
  );
}
