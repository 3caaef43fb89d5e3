import type { ComponentProps } from 'preact';
import { Icon } from './icon.tsx';
import type { IconName } from './icon.tsx';

interface IconButtonProps extends Omit<ComponentProps<'button'>, 'icon' | 'label' | 'class'> {
  class?: string;
  icon: IconName;
  /** What a screen reader says; also the tooltip unless `title` says more. */
  label: string;
}

export function IconButton({ icon, label, title = label, class: className = '', ...rest }: IconButtonProps) {
  return (
    <button type="button" {...rest} aria-label={label} title={title} class={`round ${className}`}>
      <Icon name={icon} />
    </button>
  );
}
