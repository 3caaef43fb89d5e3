import { halfToFloat, packWeight, namedScheme, unpackToFloat } from '@speedq/format';
import type { BilevelScheme, PackedTensor, SymmetricScheme } from '@speedq/format';
import { describe, expect, it } from 'vitest';
import { encodeTensor, ggmlType } from './ggml-blocks.ts';

const ROWS = 32;

/** Readers of ggml's blocks, from the description of the format; llama.cpp itself: npm run check:gguf. */
const DECODERS: Readonly<Record<string, (block: Uint8Array, half: (at: number) => number) => number[]>> = {
  Q4_0: (block, half) => nibbles(block, 2).map((code) => half(0) * (code - 8)),
  Q4_1: (block, half) => nibbles(block, 4).map((code) => half(0) * code + half(2)),
  Q8_0: (block, half) => Array.from(block.subarray(2), (byte) => half(0) * ((byte << 24) >> 24)),
  Q3_K: (block, half) =>
    Array.from({ length: 256 }, (_, i) => {
      const [n, j, l] = [Math.floor(i / 128), Math.floor(i / 32) % 4, i % 32];
      const low = (block[32 + 32 * n + l] >> (2 * j)) & 3;
      const isHigh = (block[l] >> (4 * n + j)) & 1;
      const group = Math.floor(i / 16);
      const stepLow = (block[96 + (group % 8)] >> (group < 8 ? 0 : 4)) & 15;
      const stepHigh = (block[104 + (group % 4)] >> (2 * Math.floor(group / 4))) & 3;
      return half(108) * (stepLow + 16 * stepHigh - 32) * (low - (isHigh ? 0 : 4));
    }),
};
const BLOCK_BYTES: Readonly<Record<string, number>> = { Q4_0: 18, Q4_1: 20, Q8_0: 34, Q3_K: 110 };

function nibbles(block: Uint8Array, start: number): number[] {
  const bytes = Array.from(block.subarray(start, start + 16));
  return [...bytes.map((byte) => byte & 15), ...bytes.map((byte) => byte >> 4)];
}

function decode(type: string, bytes: Uint8Array): number[] {
  const size = BLOCK_BYTES[type];
  return Array.from({ length: bytes.length / size }, (_, i) => {
    const block = bytes.subarray(i * size, (i + 1) * size);
    return DECODERS[type](block, (at) => halfToFloat(block[at] | (block[at + 1] << 8)));
  }).flat();
}

function packed(name: string, columns: number): PackedTensor {
  const rows = name === '4bit-g32' ? 128 : ROWS;
  const weight = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i * 12.9898) * 0.1 + 0.01);
  return packWeight(weight, [rows, columns], namedScheme(name, columns) as BilevelScheme | SymmetricScheme, {
    name,
  });
}

/** Largest error in shares of the largest weight: what the type can say of a step. */
describe.each([
  ['4bit-symmetric', 96, 'Q4_0', 0],
  ['2bit-symmetric', 96, 'Q4_0', 0],
  ['3bit-symmetric', 96, 'Q4_0', 0],
  ['2bit-g128', 256, 'Q4_0', 2 ** -11],
  ['3bit-g32', 96, 'Q4_0', 2 ** -11],
  ['4bit-g32', 96, 'Q4_1', 2 ** -10],
  ['4bit-g32-min', 96, 'Q4_1', 2 ** -10],
  ['2bit-g16', 512, 'Q3_K', 1 / 31],
  ['2bit-g16', 96, 'Q8_0', 1 / 200],
  ['2bit-g16-min', 256, 'Q8_0', 1 / 200],
  ['3bit-g16', 256, 'Q8_0', 1 / 200],
] as const)('%s with %i columns', (name, columns, type, tolerance) => {
  it(`is ${type}`, () => {
    const tensor = packed(name, columns);
    expect(ggmlType(tensor)).toBe(type);
    const decoded = decode(type, encodeTensor(tensor, type));
    const values = unpackToFloat(tensor);
    expect(decoded.length).toBe(values.length);
    const largest = Math.max(...values.map(Math.abs));
    const error = Math.max(...values.map((value, i) => Math.abs(value - decoded[i])));
    expect(error / largest).toBeLessThanOrEqual(tolerance);
  });
});

it('keeps the codes of Q3_K, whatever becomes of the steps', () => {
  const tensor = packed('2bit-g16', 256);
  const decoded = decode('Q3_K', encodeTensor(tensor, 'Q3_K'));
  const values = unpackToFloat(tensor);
  for (let group = 0; group * 16 < values.length; group++) {
    const theirs = decoded.slice(group * 16, group * 16 + 16);
    const ours = Array.from(values.subarray(group * 16, group * 16 + 16));
    const scale = Math.max(...ours.map(Math.abs)) / Math.max(...theirs.map(Math.abs));
    for (const [i, value] of theirs.entries()) expect(value * scale).toBeCloseTo(ours[i], 5);
  }
});
