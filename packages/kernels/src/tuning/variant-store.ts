/** Keeps what was chosen on an adapter, so that it is measured once. Losing it costs a second at load. */
export interface VariantStore {
  /** The entries kept for an adapter; none where there are none or they cannot be read. */
  read(adapter: string): Promise<Readonly<Record<string, string>>>;
  write(adapter: string, entries: Readonly<Record<string, string>>): Promise<void>;
}

/** Names an adapter, as far as the browser tells one from another. */
export function adapterName({ vendor, architecture, device, description }: GPUAdapterInfo): string {
  return [vendor, architecture, device, description].map((part) => part || '-').join(' / ');
}

/** cyrb53, 53 bits: a fingerprint of programs, whose change makes what was measured with them void. */
export function fingerprint(texts: readonly string[]): string {
  let [a, b] = [0xdeadbeef, 0x41c6ce57];
  for (const text of texts) {
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      a = Math.imul(a ^ code, 2_654_435_761);
      b = Math.imul(b ^ code, 1_597_334_677);
    }
  }
  a = Math.imul(a ^ (a >>> 16), 2_246_822_507) ^ Math.imul(b ^ (b >>> 13), 3_266_489_909);
  b = Math.imul(b ^ (b >>> 16), 2_246_822_507) ^ Math.imul(a ^ (a >>> 13), 3_266_489_909);
  return (4_294_967_296 * (2_097_151 & b) + (a >>> 0)).toString(36);
}
