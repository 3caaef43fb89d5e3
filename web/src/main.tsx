import workerAddress from '@speedq/runtime/worker?worker&url';
import { render } from 'preact';
import { App } from './app.tsx';
import { Chat } from './chat.ts';
import { chosenModel, isPico, modelAddress } from './models.ts';
import { PICO_REMEMBERS_TURNS } from './pico-notes.ts';
import './styles.css';
import { scriptUrl } from './trusted-scripts.ts';

const model = chosenModel(location.search);
const chat = new Chat({
  model: modelAddress(model),
  createWorker: () => new Worker(scriptUrl(workerAddress), { type: 'module', name: 'speedq engine' }),
  remembersTurns: !isPico(model) || PICO_REMEMBERS_TURNS,
});

render(<App chat={chat} model={model} />, document.getElementById('app')!);
void chat.load();

if ('serviceWorker' in navigator) {
  // Without one (a private window, say) the page works, but not offline.
  navigator.serviceWorker.register(scriptUrl('service-worker.js')).catch(console.warn);
}
