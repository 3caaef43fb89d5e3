import { MAX_RANK, MAX_TENSORS } from './limits.ts';

/**
 * The JSON inside a safetensors header, read by its own small grammar: JSON.parse would drop duplicate keys
 * silently, and nested input could make it allocate many times the file.
 */
export interface RawTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface RawHeader {
  readonly tensors: readonly RawTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** Reads the header text; `fail` throws the caller's typed error. */
export function parseHeaderJson(text: string, fail: (message: string) => never): RawHeader {
  return new HeaderScanner(text, fail).header();
}

class HeaderScanner {
  private readonly text: string;
  private readonly fail: (message: string) => never;
  private position = 0;

  constructor(text: string, fail: (message: string) => never) {
    this.text = text;
    this.fail = fail;
  }

  header(): RawHeader {
    const tensors: RawTensor[] = [];
    let metadata: ReadonlyMap<string, string> = new Map();
    if (this.text[0] !== '{') this.fail('the header does not start with "{"');
    this.object('the header', (name) => {
      if (name === '__metadata__') {
        metadata = this.metadata();
        return;
      }
      if (tensors.length === MAX_TENSORS) this.fail(`more than ${MAX_TENSORS} tensors`);
      tensors.push(this.tensor(name));
    });
    this.space();
    if (this.position !== this.text.length) this.fail(`text after the header's closing brace`);
    return { tensors, metadata };
  }

  private metadata(): ReadonlyMap<string, string> {
    const metadata = new Map<string, string>();
    this.object('__metadata__', (key) => {
      this.space();
      if (this.text[this.position] !== '"') this.fail(`__metadata__ "${key}" is not a string`);
      metadata.set(key, this.string());
    });
    return metadata;
  }

  private tensor(name: string): RawTensor {
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.object(`tensor "${name}"`, (key) => {
      if (key === 'dtype') dtype = this.string();
      else if (key === 'shape') shape = this.integers(`shape of "${name}"`, MAX_RANK);
      else if (key === 'data_offsets') offsets = this.integers(`data_offsets of "${name}"`, 2);
      else this.fail(`tensor "${name}" has the unknown key "${key}"`);
    });
    if (dtype === undefined || shape === undefined || offsets?.length !== 2) {
      return this.fail(`tensor "${name}" needs dtype, shape and two data_offsets`);
    }
    return { name, dtype, shape, begin: offsets[0], end: offsets[1] };
  }

  /** Calls `member` after each key's colon; it must consume the value. */
  private object(what: string, member: (key: string) => void): void {
    const keys = new Set<string>();
    this.expect('{', what);
    this.space();
    if (this.text[this.position] === '}') {
      this.position++;
      return;
    }
    for (;;) {
      const key = this.string();
      if (keys.has(key)) this.fail(`duplicate key "${key}" in ${what}`);
      keys.add(key);
      this.expect(':', what);
      member(key);
      this.space();
      const next = this.text[this.position++];
      if (next === '}') return;
      if (next !== ',') this.fail(`expected "," or "}" in ${what} at character ${this.position - 1}`);
    }
  }

  private integers(what: string, limit: number): number[] {
    const values: number[] = [];
    this.expect('[', what);
    this.space();
    if (this.text[this.position] === ']') {
      this.position++;
      return values;
    }
    for (;;) {
      if (values.length === limit) this.fail(`${what} has more than ${limit} entries`);
      values.push(this.integer(what));
      this.space();
      const next = this.text[this.position++];
      if (next === ']') return values;
      if (next !== ',') this.fail(`expected "," or "]" in ${what} at character ${this.position - 1}`);
    }
  }

  private integer(what: string): number {
    this.space();
    const start = this.position;
    while (isDigit(this.text.charCodeAt(this.position))) this.position++;
    const digits = this.text.slice(start, Math.min(this.position, start + 20));
    const value = Number(digits);
    const canonical = digits !== '' && (digits === '0' || digits[0] !== '0');
    if (!canonical) this.fail(`${what} holds something else than a non-negative integer`);
    if (!Number.isSafeInteger(value)) this.fail(`${what} holds ${digits}, beyond 2^53`);
    return value;
  }

  private string(): string {
    this.expect('"', 'a string');
    const start = this.position - 1;
    for (;;) {
      const code = this.text.charCodeAt(this.position++);
      if (code === 0x5c) this.position++;
      else if (code === 0x22) break;
      else if (Number.isNaN(code)) this.fail('the header ends inside a string');
    }
    try {
      return JSON.parse(this.text.slice(start, this.position)) as string;
    } catch {
      return this.fail(`malformed string at character ${start}`);
    }
  }

  private expect(character: string, what: string): void {
    this.space();
    if (this.text[this.position] !== character) {
      this.fail(`expected ${character} in ${what} at character ${this.position}`);
    }
    this.position++;
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.position);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.position++;
    }
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}
