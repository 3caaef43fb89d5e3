import { SpeedqError } from '@speedq/format';
import type { ErrorCode } from '@speedq/format';

/** What of an error crosses a worker boundary or a MessagePort: its class, code and message. */
export type WireError =
  | {
      readonly kind: 'speedq';
      readonly code: ErrorCode;
      readonly message: string;
      readonly details?: Readonly<Record<string, number>>;
      readonly stack?: string;
    }
  | { readonly kind: 'dom'; readonly name: string; readonly message: string }
  | { readonly kind: 'other'; readonly message: string; readonly stack?: string };

export function toWire(error: unknown): WireError {
  if (error instanceof SpeedqError) {
    const { code, message, details, stack } = error;
    return { kind: 'speedq', code, message, details, stack };
  }
  if (error instanceof DOMException) return { kind: 'dom', name: error.name, message: error.message };
  return error instanceof Error
    ? { kind: 'other', message: error.message, stack: error.stack }
    : { kind: 'other', message: String(error) };
}

/** Errors nobody foresaw arrive as SpeedqError `internal`: what a worker throws always has a code. */
export function fromWire(wire: WireError): Error {
  switch (wire.kind) {
    case 'speedq':
      return withStack(new SpeedqError(wire.code, wire.message, { details: wire.details }), wire.stack);
    case 'dom':
      return new DOMException(wire.message, wire.name);
    case 'other':
      return withStack(
        new SpeedqError(
          'internal',
          `Unexpected error in the engine: ${wire.message}. Reload the page to go on.`,
        ),
        wire.stack,
      );
  }
}

/** The worker's own stack says where it happened; the local one only that a message arrived. */
function withStack(error: Error, stack: string | undefined): Error {
  if (stack !== undefined) error.stack = stack;
  return error;
}
