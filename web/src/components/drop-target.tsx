import { useEffect, useState } from 'preact/hooks';
import { readDropped } from '../exchange/dropped-files.ts';
import { attachFiles, importChats } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import { isArchive } from '../state/model-library.ts';

/** Takes what is dropped or pasted anywhere on the page: pictures, saved chats, and models, which are only dropped. */
export function DropTarget() {
  const app = useApp();
  const t = useText();
  const [over, setOver] = useState(false);
  useEffect(() => {
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const take = (files: readonly File[]): void => {
      const chats = files.filter(({ name }) => /\.(json|md|markdown)$/i.test(name));
      if (chats.length > 0) void importChats(app, chats);
      attachFiles(
        app,
        files.filter((file) => !chats.includes(file)),
      );
    };
    const takeDropped = async (transfer: DataTransfer): Promise<void> => {
      const { files, folders } = await readDropped(transfer);
      const archives = files.filter(isArchive);
      const models = [...folders, ...archives.map((file) => ({ name: file.name, files: [file] }))];
      if (models.length > 0) app.ui.set({ dialog: 'models', dropped: models });
      take(files.filter((file) => !archives.includes(file)));
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
        if (!event.dataTransfer?.types.includes('Files')) return;
        event.preventDefault();
        void takeDropped(event.dataTransfer);
      },
      options,
    );
    addEventListener(
      'paste',
      (event) => {
        const files = [...(event.clipboardData?.files ?? [])];
        if (files.length > 0) event.preventDefault();
        take(files);
      },
      options,
    );
    return () => controller.abort();
  }, [app]);
  return over ? <div class="drop">{t.dropHere}</div> : null;
}
