import { useEffect, useState } from 'preact/hooks';
import { attachFiles, importChats } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';

/** Takes files that are dropped or pasted anywhere on the page: pictures, and saved chats. */
export function DropTarget() {
  const app = useApp();
  const t = useText();
  const [over, setOver] = useState(false);
  useEffect(() => {
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const take = (files: FileList | undefined, event: Event): void => {
      const all = [...(files ?? [])];
      if (all.length === 0) return;
      event.preventDefault();
      const chats = all.filter(({ name }) => /\.(json|md|markdown)$/i.test(name));
      if (chats.length > 0) void importChats(app, chats);
      attachFiles(
        app,
        all.filter((file) => !chats.includes(file)),
      );
    };
    addEventListener(
      'dragover',
      (event) => {
        if (!event.dataTransfer?.types.includes('Files')) return;
        // Without this the browser would open the file instead of the page.
        event.preventDefault();
        setOver(true);
      },
      options,
    );
    addEventListener('dragleave', (event) => setOver(event.relatedTarget !== null), options);
    addEventListener(
      'drop',
      (event) => {
        setOver(false);
        take(event.dataTransfer?.files, event);
      },
      options,
    );
    addEventListener('paste', (event) => take(event.clipboardData?.files, event), options);
    return () => controller.abort();
  }, [app]);
  return over ? <div class="drop">{t.dropHere}</div> : null;
}
