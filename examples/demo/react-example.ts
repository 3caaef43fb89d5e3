import type { ChatMessageDetail, SpeedqChat } from '@speedq/element';
import { createElement, useEffect, useRef, useState } from 'react';
import { createRoot } from 'react-dom/client';

/** A custom element is an element: React 19 sets its attributes; its events are listened to by ref. */
function PictureChat({ src }: { readonly src: string }) {
  const chat = useRef<SpeedqChat>(null);
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    const element = chat.current;
    const count = (event: Event): void => {
      const { role } = (event as CustomEvent<ChatMessageDetail>).detail;
      if (role === 'user') setAsked((before) => before + 1);
    };
    element?.addEventListener('message', count);
    return () => element?.removeEventListener('message', count);
  }, []);
  return createElement(
    'div',
    null,
    createElement('speedq-chat', { ref: chat, src, className: 'small' }),
    createElement('p', null, `Questions asked here: ${asked}`),
  );
}

export function mountReactExample(container: Element): void {
  createRoot(container).render(createElement(PictureChat, { src: './models/pico-2bit/' }));
}
