import { isRetryable, SpeedqError } from '@speedq/format';
import type { ErrorCode } from '@speedq/format';

/**
 * What `LanguageModel` rejects with: the DOMException (or TypeError) that the Prompt API asks for, with our
 * stable `code` in the place of DOMException's numeric one.
 */
export interface LanguageModelError extends Error {
  readonly code: ErrorCode;
  /** Whether the same request may succeed the next time, with nothing changed by a person. */
  readonly isRetryable: boolean;
  /** Of a QuotaExceededError: tokens asked for, and tokens there is room for. */
  readonly requested?: number;
  readonly quota?: number;
}

/** The `code` of an error of this library, whatever its class; undefined for any other value. */
export function errorCode(error: unknown): ErrorCode | undefined {
  if (!(error instanceof Error) && !(error instanceof DOMException)) return undefined;
  const { code } = error as { code?: unknown };
  return typeof code === 'string' ? (code as ErrorCode) : undefined;
}

/** Where the name does not follow from the code: the specification's words for "everything else". */
type OtherName = 'OperationError' | 'UnknownError';

const NAMES: Partial<Record<ErrorCode, string>> = {
  aborted: 'AbortError',
  'context-exceeded': 'QuotaExceededError',
  'invalid-image': 'EncodingError',
  network: 'NetworkError',
  'no-webgpu': 'NotSupportedError',
  unsupported: 'NotSupportedError',
};

/** SpeedqErrors become what the Prompt API asks for; everything else (abort reasons) stays what it is. */
export function toPromptError(error: unknown, other: OtherName): unknown {
  if (!(error instanceof SpeedqError)) return error;
  const { code, message } = error;
  if (code === 'invalid-argument') return coded(new TypeError(message), code, error);
  const name = NAMES[code] ?? other;
  if (name === 'QuotaExceededError') return quotaExceeded(error);
  return promptError(name, code, message, error);
}

export function promptError(name: string, code: ErrorCode, message: string, cause?: unknown): DOMException {
  return coded(new DOMException(message, name), code, cause);
}

export function typeError(message: string): TypeError {
  return coded(new TypeError(message), 'invalid-argument');
}

/** Newer browsers have a class for it, older ones and Node a name. */
type QuotaExceededErrorClass = new (
  message: string,
  details: { readonly quota?: number; readonly requested?: number },
) => DOMException;

function quotaExceeded({ code, message, details, cause }: SpeedqError): DOMException {
  const { QuotaExceededError } = globalThis as { QuotaExceededError?: QuotaExceededErrorClass };
  if (QuotaExceededError) return coded(new QuotaExceededError(message, { ...details }), code, cause);
  return Object.assign(promptError('QuotaExceededError', code, message, cause), details);
}

function coded<E extends Error>(error: E, code: ErrorCode, cause?: unknown): E {
  // DOMException's own `code` is an accessor of its prototype, without a setter.
  Object.defineProperty(error, 'code', { value: code, enumerable: true });
  Object.defineProperty(error, 'isRetryable', { value: isRetryable(code) });
  if (cause !== undefined) Object.defineProperty(error, 'cause', { value: cause, configurable: true });
  return error;
}
