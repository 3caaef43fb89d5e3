import { useText } from '../state/app-state.ts';
import { Dialog } from './dialog.tsx';

export function ShortcutsDialog({ onClose }: { onClose: () => void }) {
  const t = useText();
  const keys: readonly (readonly [readonly string[], string])[] = [
    [['Enter'], t.keySend],
    [['Shift', 'Enter'], t.keyLine],
    [['Esc'], t.keyStop],
    [['↑'], t.keyEdit],
    [['/'], t.keyFocus],
    [['Alt', 'N'], t.keyNew],
    [['Alt', 'K'], t.keySearch],
    [['?'], t.keyHelp],
  ];
  return (
    <Dialog title={t.shortcuts} onClose={onClose}>
      <dl class="keys">
        {keys.map(([parts, text]) => (
          <div key={text}>
            <dt>
              {parts.map((part) => (
                <kbd key={part}>{part}</kbd>
              ))}
            </dt>
            <dd>{text}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
