import { errorCode } from '@speedq/runtime';
import type { Problem } from '../chat/types.ts';

export function toProblem(error: unknown): Problem {
  return {
    code: errorCode(error) ?? 'internal',
    message: error instanceof Error ? error.message : String(error),
  };
}
