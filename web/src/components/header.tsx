import type { Chat } from '../chat.ts';
import { megabytes } from '../format-numbers.ts';
import { MODELS } from '../models.ts';
import type { ModelChoice } from '../models.ts';

export function Header({ chat, model }: { chat: Chat; model: ModelChoice }) {
  const { loading, turns } = chat.state;
  const info = loading.status === 'ready' ? loading.info : undefined;
  const choices = MODELS.some(({ id }) => id === model.id) ? MODELS : [model, ...MODELS];
  const choose = (id: string): void => {
    const address = new URL(location.href);
    address.searchParams.set('model', id);
    location.assign(address);
  };
  return (
    <header>
      <div class="bar">
        <h1>speedq</h1>
        <label class="model">
          <span class="visually-hidden">Model</span>
          <select value={model.id} onChange={(event) => choose(event.currentTarget.value)}>
            {choices.map(({ id, label }) => (
              <option key={id} value={id}>
                {label}
              </option>
            ))}
          </select>
        </label>
        <button type="button" class="quiet" disabled={turns.length === 0} onClick={() => chat.startAfresh()}>
          New chat
        </button>
      </div>
      {info && (
        <p class="facts">
          <span>{info.adapter.name}</span>
          <span>{megabytes(info.memoryBytes)} of graphics memory</span>
          <span>{info.keptOffline ? 'works offline' : 'not kept for offline use'}</span>
        </p>
      )}
    </header>
  );
}
