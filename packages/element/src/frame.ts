/**
 * The element in a page of its own, for hosts whose policy forbids workers: they put it into an iframe.
 * `?src=…&reveal=auto&poster=…&placeholder=…&lang=zh` become attributes; its events are posted to the host as
 * `{ type: 'speedq-chat', event, detail }`, errors as their message and code. The host may post
 * `{ type: 'speedq-chat', ask: 'text' }` or `{ type: 'speedq-chat', load: true }`.
 */
import './standalone.ts';
import type { ErrorDetail } from './index.ts';

const parameters = new URLSearchParams(location.search);
const chat = document.createElement('speedq-chat');
const lang = parameters.get('lang');
if (lang) document.documentElement.lang = lang;
for (const name of ['reveal', 'loading', 'poster', 'placeholder']) {
  const value = parameters.get(name);
  if (value !== null) chat.setAttribute(name, value);
}
for (const name of ['load', 'progress', 'message', 'error'] as const) {
  chat.addEventListener(name, (event) => {
    const { detail } = event as CustomEvent<unknown>;
    const sent = name === 'error' ? describe((detail as ErrorDetail).error) : detail;
    parent.postMessage({ type: 'speedq-chat', event: name, detail: sent }, '*');
  });
}
addEventListener('message', ({ source, data }: MessageEvent<unknown>) => {
  const { type, ask, load } = (data ?? {}) as { type?: unknown; ask?: unknown; load?: unknown };
  if (source !== parent || type !== 'speedq-chat') return;
  if (load === true) chat.load().catch(() => {});
  if (typeof ask === 'string') chat.ask(ask).catch(() => {});
});
chat.src = ownModel(parameters.get('src') ?? '');
document.body.append(chat);

/** Whoever frames this page chooses among this origin's models, not another's. */
function ownModel(address: string): string {
  const url = new URL(address, document.baseURI);
  return url.origin === location.origin ? url.href : '';
}

function describe(error: unknown): { message: string; code: unknown } {
  const { code } = (error ?? {}) as { code?: unknown };
  return { message: error instanceof Error ? error.message : String(error), code };
}
