/** Decimal megabytes, as downloads are counted. */
export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 99.5e6 ? 1 : 0)} MB`;
}

export function oneDecimal(value: number): string {
  return value.toFixed(value < 99.95 ? 1 : 0);
}
