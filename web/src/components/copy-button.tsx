import { useState } from 'preact/hooks';
import { useText } from '../state/app-state.ts';
import { IconButton } from './icon-button.tsx';

const SHOWN_MILLISECONDS = 1500;

export function CopyButton({ text }: { text: string }) {
  const t = useText();
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), SHOWN_MILLISECONDS);
  };
  return (
    <>
      <IconButton
        icon={copied ? 'check' : 'copy'}
        label={copied ? t.copied : t.copy}
        class="small plain"
        onClick={() => void copy().catch(console.warn)}
      />
      <span class="visually-hidden" role="status">
        {copied ? t.copied : ''}
      </span>
    </>
  );
}
