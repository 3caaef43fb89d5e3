import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { useText } from '../state/app-state.ts';
import { IconButton } from './icon-button.tsx';

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ComponentChildren;
  class?: string;
}

/** A modal window; the browser keeps the focus inside, closes it on Escape and returns the focus. */
export function Dialog({ title, onClose, children, class: className = '' }: DialogProps) {
  const t = useText();
  const element = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const opener = document.activeElement;
    element.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={className}
      aria-labelledby={heading}
      onClose={onClose}
      onCancel={(event) => {
        // At once: the browser tells of the closing later, and what was opened meanwhile would be closed by that.
        // A file chooser that is left tells of that too.
        if (event.target !== element.current) return;
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => {
        // The dialog's own area is its border: everything inside belongs to a child.
        if (event.target === element.current) onClose();
      }}
    >
      <div class="dialog-body">
        <div class="dialog-head">
          <h2 id={heading}>{title}</h2>
          <IconButton icon="close" label={t.close} onClick={onClose} />
        </div>
        {children}
      </div>
    </dialog>
  );
}
