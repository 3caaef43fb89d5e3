import { SpeedqError } from '@speedq/format';

type Scalar = string | number | boolean | null;

/** Reads keys of a JSON object; every failure is an `invalid-config` error that names the key's path. */
export class ConfigReader {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #path: string;

  private constructor(values: unknown, path: string) {
    if (typeof values !== 'object' || values === null || Array.isArray(values)) {
      throw new SpeedqError(
        'invalid-config',
        `config.json: ${path === '' ? 'the file' : path.slice(0, -1)} is ${show(values)}; expected an object. ` +
          'Download the file again or restore it from the model it came from.',
      );
    }
    this.#values = values as Readonly<Record<string, unknown>>;
    this.#path = path;
  }

  static root(json: unknown): ConfigReader {
    return new ConfigReader(json, '');
  }

  /** Missing and null mean the same in these files. */
  isAbsent(key: string): boolean {
    return this.#get(key) === undefined || this.#get(key) === null;
  }

  object(key: string): ConfigReader {
    return new ConfigReader(this.#get(key), `${this.#path}${key}.`);
  }

  optionalObject(key: string): ConfigReader | undefined {
    return this.isAbsent(key) ? undefined : this.object(key);
  }

  string(key: string): string {
    const value = this.#get(key);
    this.check(typeof value === 'string', key, 'a string');
    return value as string;
  }

  boolean(key: string): boolean {
    const value = this.#get(key);
    this.check(typeof value === 'boolean', key, 'true or false');
    return value as boolean;
  }

  integer(key: string, { min, max }: { readonly min: number; readonly max: number }): number {
    const value = this.#get(key);
    const valid = typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max;
    this.check(valid, key, `an integer from ${min} to ${max}`);
    return value as number;
  }

  /** A finite number above zero; `fallback` where the key may be absent. */
  positive(key: string, fallback?: number): number {
    if (fallback !== undefined && this.isAbsent(key)) return fallback;
    const value = this.#get(key);
    const valid = typeof value === 'number' && Number.isFinite(value) && value > 0;
    this.check(valid, key, 'a number above 0');
    return value as number;
  }

  /** 448 or [448, 448]. */
  squareSize(key: string, max: number): number {
    const value = this.#get(key);
    const [height, width] = Array.isArray(value) && value.length === 2 ? value : [value, value];
    const valid = Number.isInteger(height) && height === width && height >= 1 && height <= max;
    this.check(valid, key, `an integer from 1 to ${max}, or a pair of equal ones`);
    return height as number;
  }

  /** Refuses every value but `allowed`: the others mean a computation that is not implemented. */
  expect(
    key: string,
    allowed: readonly Scalar[],
    { absent = false, advice }: { readonly absent?: boolean; readonly advice?: string } = {},
  ): void {
    if (absent && this.isAbsent(key)) return;
    if (allowed.includes(this.#get(key) as Scalar)) return;
    this.#fail(
      key,
      `${allowed.map((value) => JSON.stringify(value)).join(' or ')}, the only supported value`,
      advice,
    );
  }

  check(condition: boolean, key: string, expected: string): void {
    if (!condition) this.#fail(key, expected);
  }

  #get(key: string): unknown {
    return Object.hasOwn(this.#values, key) ? this.#values[key] : undefined;
  }

  #fail(key: string, expected: string, advice?: string): never {
    const value = this.#get(key);
    throw new SpeedqError(
      'invalid-config',
      `config.json: ${this.#path}${key} is ${value === undefined ? 'missing' : show(value)}; expected ${expected}. ` +
        (advice ??
          'Check that the folder is an unmodified InternVL3-1B or -2B, or of the same architecture.'),
    );
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
