import '@speedq/element';
import { mountReactExample } from './react-example.ts';

// Without a framework: an element, a method, an event.
const chat = document.querySelector<HTMLElementTagNameMap['speedq-chat']>('#scripted')!;
const answer = document.querySelector('#answer')!;
document.querySelector('#ask')!.addEventListener('click', () => void askAboutFarm());
chat.addEventListener('error', (event) => {
  answer.textContent = String((event as unknown as CustomEvent<{ error: unknown }>).detail.error);
});

async function askAboutFarm(): Promise<void> {
  const picture = await (await fetch('./samples/farm.png')).blob();
  answer.textContent = await chat.ask('What is in the picture?', [picture]);
}

mountReactExample(document.querySelector('#react')!);
