import { useEffect, useState } from 'preact/hooks';

/** Takes a file that is dropped or pasted anywhere on the page. */
export function DropTarget({ onFile }: { onFile: (file: File) => void }) {
  const [over, setOver] = useState(false);
  useEffect(() => {
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const carriesFile = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') ?? false;
    addEventListener(
      'dragover',
      (event) => {
        if (!carriesFile(event)) return;
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
        const file = event.dataTransfer?.files[0];
        if (!file) return;
        event.preventDefault();
        onFile(file);
      },
      options,
    );
    addEventListener(
      'paste',
      (event) => {
        const file = event.clipboardData?.files[0];
        if (!file) return;
        event.preventDefault();
        onFile(file);
      },
      options,
    );
    return () => controller.abort();
  });
  return over ? <div class="drop">Drop the picture anywhere</div> : null;
}
