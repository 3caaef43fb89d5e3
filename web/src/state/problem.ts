import { SpeedqError } from '@speedq/runtime';
import type { Problem } from '../chat/types.ts';

export function toProblem(error: unknown): Problem {
  if (error instanceof SpeedqError) return { code: error.code, message: error.message };
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}
