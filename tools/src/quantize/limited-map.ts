/** A map of things that must be released; it keeps the latest few. */
export class LimitedMap<V extends { release(): Promise<void> }> {
  private readonly entries = new Map<string, V>();

  constructor(private readonly limit: number) {}

  async get(key: string, create: () => Promise<V>): Promise<V> {
    const known = this.entries.get(key);
    if (known !== undefined) {
      this.entries.delete(key);
      this.entries.set(key, known);
      return known;
    }
    while (this.entries.size >= this.limit) {
      const [oldest, value] = this.entries.entries().next().value!;
      this.entries.delete(oldest);
      await value.release();
    }
    const created = await create();
    this.entries.set(key, created);
    return created;
  }

  async releaseAll(): Promise<void> {
    for (const value of this.entries.values()) await value.release();
    this.entries.clear();
  }
}
