/** Offers a file for saving, as a download that never was online. */
export function saveFile(name: string, content: string, type: string): void {
  const url = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser has its own hold on it once the download has begun.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A title as a file name on any system. */
export function fileName(title: string, extension: string): string {
  const name = title
    .replaceAll(/[\p{Cc}<>:"/\\|?*]+/gu, ' ')
    .trim()
    .slice(0, 60)
    .replace(/[. ]+$/, '');
  return `${name || 'chat'}.${extension}`;
}
