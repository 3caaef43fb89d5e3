/** Stable names of everything that can go wrong; they survive the worker boundary and may be matched on. */
export type ErrorCode =
  // model files
  | 'not-a-model'
  | 'invalid-safetensors'
  | 'invalid-config'
  | 'invalid-manifest'
  | 'invalid-tokenizer'
  | 'missing-tensor'
  | 'unexpected-tensor'
  | 'shape-mismatch'
  | 'checksum-mismatch'
  | 'file-truncated'
  | 'invalid-archive'
  // quantization
  | 'invalid-scheme'
  | 'not-representable'
  | 'invalid-recipe'
  | 'resume-mismatch'
  | 'training-diverged'
  | 'verification-failed'
  // inputs
  | 'invalid-image'
  | 'invalid-data'
  | 'invalid-argument'
  | 'context-exceeded'
  // environment
  | 'no-webgpu'
  | 'device-lost'
  | 'out-of-memory'
  | 'out-of-space'
  | 'output-exists'
  | 'network'
  | 'unsupported'
  | 'worker-died'
  | 'aborted'
  | 'internal';

const RETRYABLE: ReadonlySet<ErrorCode> = new Set(['network', 'device-lost', 'worker-died']);

/** Whether the same request may succeed the next time, with nothing changed by a person. */
export function isRetryable(code: ErrorCode): boolean {
  return RETRYABLE.has(code);
}

/**
 * The one error class of the project. The message says what failed, what was expected, what was found and
 * what to do next; `code` is for programs.
 */
export class SpeedqError extends Error {
  readonly code: ErrorCode;
  /** The numbers of the message, for programs: `requested` and `quota` of `context-exceeded`, say. */
  readonly details: Readonly<Record<string, number>> | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options?: { readonly cause?: unknown; readonly details?: Readonly<Record<string, number>> },
  ) {
    super(message, options);
    this.name = 'SpeedqError';
    this.code = code;
    this.details = options?.details;
  }

  get isRetryable(): boolean {
    return isRetryable(this.code);
  }
}
