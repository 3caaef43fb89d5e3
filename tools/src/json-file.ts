import { parseJson, SpeedqError } from '@speedq/format';
import type { ErrorCode } from '@speedq/format';
import { open } from 'node:fs/promises';
import { basename } from 'node:path';

interface TextFileOptions {
  /** Code of the error for a file that is too large or does not parse. */
  readonly code: ErrorCode;
  readonly maxBytes: number;
}

/** A file's text, or undefined where there is none. A file beyond `maxBytes` is refused before it is read. */
export async function readTextFile(
  path: string,
  { code, maxBytes }: TextFileOptions,
): Promise<string | undefined> {
  let handle;
  try {
    handle = await open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = await handle.stat();
    if (size > maxBytes) {
      throw new SpeedqError(
        code,
        `${basename(path)} has ${size} bytes; expected at most ${maxBytes}. It is not what its name says.`,
      );
    }
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** A JSON file's value; throws `options.code` where it is missing or not JSON. */
export async function readJsonFile(path: string, options: TextFileOptions): Promise<unknown> {
  const value = await readOptionalJsonFile(path, options);
  if (value === undefined) throw new SpeedqError(options.code, `${path} does not exist.`);
  return value;
}

/** The same, undefined where there is no such file. */
export async function readOptionalJsonFile(path: string, options: TextFileOptions): Promise<unknown> {
  const text = await readTextFile(path, options);
  if (text === undefined) return undefined;
  try {
    return parseJson(text);
  } catch (cause) {
    throw new SpeedqError(
      options.code,
      `${path} is not JSON (${(cause as Error).message}). Restore the file from where it came.`,
      { cause },
    );
  }
}

/** Fields that readers in Python insist on as floats; JSON.stringify writes 1.0 as 1. */
const FLOAT_FIELDS = [
  'downsample_ratio',
  'drop_path_rate',
  'factor',
  'initializer_factor',
  'initializer_range',
  'layer_norm_eps',
  'layer_scale_init_value',
  'rms_norm_eps',
  'rope_theta',
];
const INTEGRAL_FLOAT = new RegExp(`^( *"(?:${FLOAT_FIELDS.join('|')})": -?\\d+)(,?)$`, 'gm');

/** The text of a model's config.json. */
export function modelConfigText(config: unknown): string {
  return `${JSON.stringify(config, null, 2)}\n`.replace(INTEGRAL_FLOAT, '$1.0$2');
}
