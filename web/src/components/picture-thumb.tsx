import { useEffect, useState } from 'preact/hooks';
import type { Picture } from '../chat/types.ts';
import { useApp, useText } from '../state/app-state.ts';

/** A picture that opens large when pressed. */
export function PictureThumb({ picture }: { picture: Picture }) {
  const app = useApp();
  const t = useText();
  const url = useObjectUrl(picture.blob);
  return (
    <button
      type="button"
      class="thumb"
      aria-label={t.showPicture(picture.name)}
      onClick={() => app.ui.set({ viewed: picture })}
    >
      {url && <img src={url} alt={picture.name} />}
    </button>
  );
}

/** An address of the blob for as long as it is shown. */
export function useObjectUrl(blob: Blob | undefined): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (!blob) return;
    const made = URL.createObjectURL(blob);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [blob]);
  return url;
}
