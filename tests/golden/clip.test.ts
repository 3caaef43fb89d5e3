import { describe, expect, it } from 'vitest';
import {
  accumulateGram,
  parseSafetensors,
  requireTensor,
  searchClipRange,
  tensorBytes,
  tensorToFloats,
} from '@speedq/format';
import { goldenCases, readGolden } from './folder.ts';

/**
 * What the reference's clip search chose. Its float32 sums make near-ties a matter of luck, so a candidate
 * also counts whose error, computed here from the activations in float64, is within 1e-5 of the reference's.
 */
describe.each(goldenCases('internvl/clip', '.safetensors'))('clip search %s', (name) => {
  const groupSize = Number(/_g(\d+)/.exec(name)?.[1]);
  const bytes = readGolden('internvl', 'clip', `${name}.safetensors`);
  const header = parseSafetensors(bytes, name);
  const info = (key: string) => requireTensor(header, key, name);
  const floats = (key: string) => tensorToFloats(tensorBytes(bytes, info(key)), info(key).dtype);
  const [rows, columns] = info('weight').shape;
  const [tokens] = info('activations').shape;
  const weight = floats('weight');
  const activations = floats('activations');
  const gram = new Float64Array(columns * groupSize);
  accumulateGram(activations, tokens, columns, groupSize, gram);

  /** Squared error of one group's partial output, summed over tokens, straight from the definition. */
  function outputError(group: number, bits: number, min: number, max: number): number {
    const column = (group % (columns / groupSize)) * groupSize;
    const row = Math.floor(group / (columns / groupSize));
    const qmax = 2 ** bits - 1;
    const s = Math.max((max - min) / qmax, 1e-5);
    const z = Math.min(Math.max(-halfToEven(min / s), 0), qmax);
    const errors = Array.from({ length: groupSize }, (_, j) => {
      const w = weight[row * columns + column + j];
      const q = Math.min(Math.max(halfToEven(Math.min(Math.max(w, min), max) / s + z), 0), qmax);
      return w - s * (q - z);
    });
    let total = 0;
    for (let t = 0; t < tokens; t++) {
      let sum = 0;
      for (let j = 0; j < groupSize; j++) sum += errors[j] * activations[t * columns + column + j];
      total += sum * sum;
    }
    return total;
  }

  const widths = [...header.tensors.keys()].flatMap((key) => /^best_max_(\d)bit$/.exec(key)?.[1] ?? []);
  it.each(widths.map(Number))('finds the reference candidate or an equally good one at %i bits', (bits) => {
    const scheme = {
      kind: 'bilevel',
      bits: bits as 2 | 4,
      groupSize,
      scaleGroupSize: 1,
      zero: 'integer',
    } as const;
    const found = searchClipRange(weight, rows, columns, scheme, gram, { reference: true });
    const max = floats(`best_max_${bits}bit`);
    const min = floats(`best_min_${bits}bit`);
    let same = 0;
    for (let group = 0; group < max.length; group++) {
      if (found.max[group] === max[group] && found.min[group] === min[group]) {
        same++;
        continue;
      }
      const ours = outputError(group, bits, found.min[group], found.max[group]);
      const theirs = outputError(group, bits, min[group], max[group]);
      expect(ours, `group ${group}`).toBeLessThanOrEqual(theirs * (1 + 1e-5));
    }
    expect(same / max.length).toBeGreaterThan(0.9);
  });
});

function halfToEven(x: number): number {
  const floor = Math.floor(x);
  const fraction = x - floor;
  if (fraction !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}
