import { SpeedqError } from '@speedq/format';
import type { ErrorCode } from '@speedq/format';

export const EXIT_OK = 0;
const EXIT_INTERNAL = 1;
const EXIT_USAGE = 2;
const EXIT_INVALID = 3;
const EXIT_SPACE = 4;
const EXIT_VERIFICATION = 5;
/** 128 + SIGINT, as shells report it. */
const EXIT_INTERRUPTED = 130;

/** What a script may rely on (docs/architecture.md); codes that are not listed are internal errors. */
export function exitCodeOf(code: ErrorCode): number {
  switch (code) {
    case 'invalid-argument':
    case 'invalid-recipe':
    case 'resume-mismatch':
    case 'output-exists':
      return EXIT_USAGE;
    case 'not-a-model':
    case 'invalid-safetensors':
    case 'invalid-config':
    case 'invalid-manifest':
    case 'invalid-archive':
    case 'invalid-tokenizer':
    case 'missing-tensor':
    case 'unexpected-tensor':
    case 'shape-mismatch':
    case 'file-truncated':
    case 'invalid-scheme':
    case 'not-representable':
    case 'invalid-image':
    case 'invalid-data':
    case 'context-exceeded':
    case 'unsupported':
    case 'no-webgpu':
      return EXIT_INVALID;
    case 'out-of-memory':
    case 'out-of-space':
      return EXIT_SPACE;
    case 'checksum-mismatch':
    case 'verification-failed':
      return EXIT_VERIFICATION;
    case 'aborted':
      return EXIT_INTERRUPTED;
    default:
      return EXIT_INTERNAL;
  }
}

/** Gives errors of the system the code that a user can act on; the rest become `internal`. */
export function toSpeedqError(error: unknown): SpeedqError {
  if (error instanceof SpeedqError) return error;
  const { code, message, path } = error as { code?: unknown; message?: unknown; path?: unknown };
  const text = typeof message === 'string' ? message : String(error);
  const options = { cause: error };
  const where = typeof path === 'string' ? `${path}: ` : '';
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new SpeedqError(
      'out-of-space',
      `${where}no space left on the device. Free some and run again.`,
      options,
    );
  }
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new SpeedqError(
      'invalid-argument',
      `${where}no such file or folder. Check the path; names are relative to the folder you are in.`,
      options,
    );
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new SpeedqError('invalid-argument', `${where}not permitted. Choose another folder.`, options);
  }
  if (error instanceof RangeError && /allocation failed|Invalid typed array length/i.test(text)) {
    return new SpeedqError(
      'out-of-memory',
      `Not enough memory: ${text}. Close other programs, or see speedq plan for what a step needs.`,
      options,
    );
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new SpeedqError('aborted', 'Interrupted.', options);
  }
  if (code === 'EISDIR') {
    return new SpeedqError('invalid-argument', `${where}is a folder; expected a file.`, options);
  }
  return new SpeedqError('internal', text, options);
}
