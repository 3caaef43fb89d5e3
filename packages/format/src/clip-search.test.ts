import { describe, expect, it } from 'vitest';
import { fakeQuantizeBilevel } from './bilevel.ts';
import { accumulateGram, searchClipRange } from './clip-search.ts';
import { BILEVEL_2BIT_G16, BILEVEL_2BIT_G16_MIN, BILEVEL_4BIT_G32_QQ16, namedScheme } from './schemes.ts';
import type { BilevelScheme } from './schemes.ts';
import { gaussian, thrown } from './test-weights.ts';

it('accumulates XᵀX of each column group over batches', () => {
  const activations = Float32Array.of(1, 2, 3, 4, /**/ 5, 6, 7, 8, /**/ -1, 0, 2, 1);
  const gram = new Float64Array(8);
  accumulateGram(activations.subarray(0, 4), 1, 4, 2, gram);
  accumulateGram(activations.subarray(4), 2, 4, 2, gram);
  expect([...gram]).toEqual([27, 32, 32, 40, 62, 70, 70, 81]);
});

describe.each([
  ['2-bit g16', BILEVEL_2BIT_G16, 0.8],
  ['4-bit g32', BILEVEL_4BIT_G32_QQ16, 0.97],
  ['2-bit g16 with minima', BILEVEL_2BIT_G16_MIN, 0.8],
  ['3-bit g32 with minima', namedScheme('3bit-g32-min', 96) as BilevelScheme, 0.95],
] as const)('%s', (_, scheme, gain) => {
  const [rows, columns, tokens] = [48, 96, 200];
  const { groupSize } = scheme;
  const groups = columns / groupSize;
  const weight = gaussian(rows * columns, 21, 0.02).map((w, i) => (i % 53 === 0 ? 4 * w : w));
  const activations = gaussian(tokens * columns, 22).map((x, i) => x * (1 + (i % 5)));
  const gram = new Float64Array(columns * groupSize);
  accumulateGram(activations, tokens, columns, groupSize, gram);

  /** Σ over groups of the squared error of the group's partial output, from the activations. */
  function outputError(values: Float32Array): number {
    let total = 0;
    for (let row = 0; row < rows; row++) {
      for (let group = 0; group < groups; group++) {
        for (let t = 0; t < tokens; t++) {
          let sum = 0;
          for (let j = group * groupSize; j < (group + 1) * groupSize; j++) {
            sum += (weight[row * columns + j] - values[row * columns + j]) * activations[t * columns + j];
          }
          total += sum * sum;
        }
      }
    }
    return total;
  }

  const plain = outputError(fakeQuantizeBilevel(weight, rows, columns, scheme).values);
  const errorOf = (reference: boolean): number => {
    const range = searchClipRange(weight, rows, columns, scheme, gram, { reference });
    return outputError(fakeQuantizeBilevel(weight, rows, columns, scheme, { range }).values);
  };

  it(`lowers the output error of what is stored at least to ${gain} of it`, () => {
    expect(errorOf(false)).toBeLessThan(gain * plain);
  });

  it('does better than the search that ignores how scales are stored', () => {
    expect(errorOf(false)).toBeLessThan(errorOf(true));
  });
});

it('refuses Gram matrices of another size', () => {
  const weight = gaussian(256, 1);
  const search = () => searchClipRange(weight, 16, 16, BILEVEL_2BIT_G16, new Float64Array(10));
  expect(thrown(search).code).toBe('shape-mismatch');
  expect(thrown(() => accumulateGram(weight, 16, 16, 16, new Float64Array(10))).code).toBe('shape-mismatch');
});
