import { useId, useRef } from 'preact/hooks';
import { Icon } from './icon.tsx';
import type { IconName } from './icon.tsx';
import { IconButton } from './icon-button.tsx';

export interface MenuItem {
  readonly icon: IconName;
  readonly label: string;
  readonly run: () => void;
}

/** A button with a list of things to do. In the top layer, so that no scrolling list cuts it off. */
export function Menu({ label, items }: { label: string; items: readonly MenuItem[] }) {
  const id = useId();
  const button = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);

  const place = (): void => {
    const popover = list.current;
    const anchor = button.current?.getBoundingClientRect();
    if (!popover || !anchor) return;
    const { offsetWidth: width, offsetHeight: height } = popover;
    const below = anchor.bottom + 4;
    const top = below + height > innerHeight ? Math.max(8, anchor.top - height - 4) : below;
    popover.style.insetBlockStart = `${top}px`;
    popover.style.insetInlineStart = `${Math.max(8, Math.min(anchor.right - width, innerWidth - width - 8))}px`;
  };
  const move = (step: number): void => {
    const buttons = [...(list.current?.querySelectorAll('button') ?? [])];
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    buttons[(at + step + buttons.length) % buttons.length]?.focus();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    event.preventDefault();
    move(event.key === 'ArrowDown' ? 1 : -1);
  };

  return (
    <div ref={button} class="menu">
      <IconButton
        icon="more"
        label={label}
        class="small plain"
        aria-haspopup="menu"
        onClick={() => list.current?.togglePopover()}
      />
      <div
        ref={list}
        id={id}
        popover="auto"
        role="menu"
        aria-label={label}
        onToggle={(event) => {
          if (event.newState !== 'open') return;
          place();
          list.current?.querySelector('button')?.focus();
        }}
        onKeyDown={onKeyDown}
      >
        {items.map(({ icon, label, run }) => (
          <button
            key={label}
            type="button"
            role="menuitem"
            tabIndex={-1}
            onClick={() => {
              list.current?.hidePopover();
              run();
            }}
          >
            <Icon name={icon} />
            {label}
          </button>
        ))}
      </div>
    </div>
  );
}
