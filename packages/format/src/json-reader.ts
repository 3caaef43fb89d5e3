/**
 * Typed access to JSON that nobody vouches for: each step checks what it finds and fails with the path, such
 * as `files[3].bytes`.
 */
export class JsonReader {
  readonly value: unknown;
  readonly path: string;
  private readonly fail: (message: string) => never;

  constructor(value: unknown, path: string, fail: (message: string) => never) {
    this.value = value;
    this.path = path;
    this.fail = fail;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.object(), key);
  }

  get(key: string): JsonReader {
    if (!this.has(key)) this.fail(`${this.path} lacks "${key}"`);
    return this.child(this.object()[key], `${this.path}.${key}`);
  }

  /** Fails on keys that are not listed; returns itself. */
  onlyKeys(keys: readonly string[]): this {
    for (const key of Object.keys(this.object())) {
      if (!keys.includes(key)) this.fail(`${this.path} has the unknown key "${key.slice(0, 80)}"`);
    }
    return this;
  }

  entries(limit: number): [key: string, value: JsonReader][] {
    const entries = Object.entries(this.object());
    if (entries.length > limit) this.fail(`${this.path} has more than ${limit} entries`);
    return entries.map(([key, value]) => [key, this.child(value, `${this.path}["${key.slice(0, 200)}"]`)]);
  }

  array(limit: number): JsonReader[] {
    const { value } = this;
    if (!Array.isArray(value)) return this.wrong('an array');
    if (value.length > limit) this.fail(`${this.path} has more than ${limit} entries`);
    return value.map((item: unknown, index) => this.child(item, `${this.path}[${index}]`));
  }

  string(): string {
    return typeof this.value === 'string' ? this.value : this.wrong('a string');
  }

  number(): number {
    return typeof this.value === 'number' && Number.isFinite(this.value)
      ? this.value
      : this.wrong('a number');
  }

  integer(min: number, max: number = Number.MAX_SAFE_INTEGER): number {
    const { value } = this;
    const valid = typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max;
    return valid ? value : this.wrong(`an integer from ${min} to ${max}`);
  }

  boolean(): boolean {
    return typeof this.value === 'boolean' ? this.value : this.wrong('true or false');
  }

  oneOf<const T>(allowed: readonly T[]): T {
    const found = allowed.find((item) => item === this.value);
    return found === undefined ? this.wrong(`one of ${allowed.join(', ')}`) : found;
  }

  private object(): Record<string, unknown> {
    const { value } = this;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.wrong('an object');
    return value as Record<string, unknown>;
  }

  private child(value: unknown, path: string): JsonReader {
    return new JsonReader(value, path, this.fail);
  }

  private wrong(expected: string): never {
    const found = JSON.stringify(this.value) ?? typeof this.value;
    return this.fail(`${this.path} should be ${expected}, got ${found.slice(0, 80)}`);
  }
}
