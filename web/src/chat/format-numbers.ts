/** Decimal units, as downloads are counted. */
export function formatBytes(bytes: number): string {
  if (bytes >= 999.5e6) return `${(bytes / 1e9).toFixed(bytes < 99.5e9 ? 1 : 0)} GB`;
  if (bytes >= 0.995e6) return `${(bytes / 1e6).toFixed(bytes < 99.5e6 ? 1 : 0)} MB`;
  return `${Math.round(bytes / 1e3)} kB`;
}

export function oneDecimal(value: number): string {
  return value.toFixed(value < 99.95 ? 1 : 0);
}
