import { INTERNVL3_1B, INTERNVL3_2B } from '@speedq/kernels/bench';
import { parseConfig } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { picoConfig } from '../train/pico-config.ts';

export const SIZES = ['pico', '1b', '2b'] as const;
export type BenchSize = (typeof SIZES)[number];

/** About as many as the tokenizer of pico has. */
const PICO_VOCABULARY = 1536;

export function configOf(size: BenchSize): InternVLConfig {
  if (size !== 'pico') return size === '1b' ? INTERNVL3_1B : INTERNVL3_2B;
  return parseConfig(
    picoConfig({ vocabulary: PICO_VOCABULARY, imageContext: 3, messageEnd: 2, endOfText: 1 }),
  );
}
