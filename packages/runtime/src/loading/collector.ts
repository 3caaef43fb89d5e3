/** Collects a file of known size. Takes memory for what arrives, not for what a manifest claims. */
export class ByteCollector {
  readonly bytes: number;
  private data: Uint8Array<ArrayBuffer>;
  private filled: number;

  /** @param start what is here already */
  constructor(bytes: number, start?: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.data = start ?? new Uint8Array();
    this.filled = this.data.length;
  }

  get length(): number {
    return this.filled;
  }

  /** The server is going to send it all: one allocation instead of several. */
  reserve(): void {
    this.grow(this.bytes);
  }

  /** @throws RangeError for more than the file has: look first. */
  add(chunk: Uint8Array): void {
    const length = this.filled + chunk.length;
    if (length > this.bytes) throw new RangeError('More bytes than the file has');
    if (length > this.data.length) this.grow(Math.min(this.bytes, Math.max(length, 2 * this.data.length)));
    this.data.set(chunk, this.filled);
    this.filled = length;
  }

  clear(): void {
    this.filled = 0;
  }

  take(): Uint8Array<ArrayBuffer> {
    if (this.data.length === this.filled) return this.data;
    return this.data.slice(0, this.filled);
  }

  private grow(capacity: number): void {
    if (capacity <= this.data.length) return;
    const larger = new Uint8Array(capacity);
    larger.set(this.data.subarray(0, this.filled));
    this.data = larger;
  }
}
