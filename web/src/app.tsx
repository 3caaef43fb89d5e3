import { useEffect, useReducer, useRef } from 'preact/hooks';
import type { Chat } from './chat.ts';
import { Composer } from './components/composer.tsx';
import { DropTarget } from './components/drop-target.tsx';
import { Header } from './components/header.tsx';
import { LoadPanel } from './components/load-panel.tsx';
import { Notices } from './components/notices.tsx';
import { TurnView } from './components/turn-view.tsx';
import { Welcome } from './components/welcome.tsx';
import { isPico } from './models.ts';
import type { ModelChoice } from './models.ts';
import type { Sample } from './samples.ts';

export function App({ chat, model }: { chat: Chat; model: ModelChoice }) {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  useEffect(() => chat.subscribe(() => redraw(0)), [chat]);

  const { loading, turns } = chat.state;
  const end = useRef<HTMLDivElement>(null);
  const last = turns.at(-1);
  useEffect(() => {
    if (last) end.current?.scrollIntoView({ block: 'end' });
  }, [last?.id, last?.answer, last?.status]);

  useEffect(() => {
    const stop = (event: KeyboardEvent): void => {
      if (event.key === 'Escape' && chat.busy) chat.stop();
    };
    addEventListener('keydown', stop);
    return () => removeEventListener('keydown', stop);
  }, [chat]);

  const attach = (file: File): void => void chat.attach(file, file.name || 'pasted picture');
  const askSample = async (sample: Sample, question: string): Promise<void> => {
    const response = await fetch(`./samples/${sample.file}`);
    if (await chat.attach(await response.blob(), sample.description)) await chat.ask(question);
  };
  const askText = (question: string): void => {
    chat.detach();
    void chat.ask(question);
  };

  return (
    <>
      <Header chat={chat} model={model} />
      <main>
        <Notices loading={loading} />
        {loading.status !== 'ready' && <LoadPanel loading={loading} onRetry={() => void chat.load()} />}
        {turns.length === 0 && (
          <Welcome
            isPico={isPico(model)}
            ready={loading.status === 'ready'}
            onSample={(sample, question) => void askSample(sample, question)}
            onText={askText}
          />
        )}
        <div role="log" aria-label="Conversation" aria-busy={chat.busy}>
          {turns.map((turn, i) => (
            <TurnView key={turn.id} turn={turn} showPicture={turn.picture !== turns[i - 1]?.picture} />
          ))}
        </div>
        <div ref={end} />
      </main>
      <Composer chat={chat} onFile={attach} />
      <DropTarget onFile={attach} />
    </>
  );
}
