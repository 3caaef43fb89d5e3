import { floatsToHalves, halvesToFloats } from '@speedq/format';
import type { CacheShape, KeyValueFormat } from './format.ts';
import { cacheRowWords } from './format.ts';

/** Rows [tokens, keyValueHeads·headDim] as a cache holds them. */
export function encodeCache(format: KeyValueFormat, rows: Float32Array, shape: CacheShape): Uint32Array {
  if (format === 'f32') return new Uint32Array(rows.slice().buffer);
  if (format === 'f16') return new Uint32Array(floatsToHalves(rows).buffer);
  const { keyValueHeads, headDim } = shape;
  const rowWords = cacheRowWords(format, shape);
  const tokens = rows.length / (keyValueHeads * headDim);
  const words = new Uint32Array(tokens * rowWords);
  const codes = new Int8Array(words.buffer);
  const scales = new Float32Array(words.buffer);
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < keyValueHeads; head++) {
      const at = (token * keyValueHeads + head) * headDim;
      const values = rows.subarray(at, at + headDim);
      const top = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      scales[token * rowWords + (keyValueHeads * headDim) / 4 + head] = top;
      values.forEach((v, i) => {
        codes[token * rowWords * 4 + head * headDim + i] = Math.round((127 * v) / Math.max(top, 1e-30));
      });
    }
  }
  return words;
}

/** What encoded rows stand for. */
export function decodeCache(format: KeyValueFormat, words: Uint32Array, shape: CacheShape): Float32Array {
  if (format === 'f32') return new Float32Array(words.slice().buffer);
  if (format === 'f16') return halvesToFloats(new Uint16Array(words.slice().buffer));
  const { keyValueHeads, headDim } = shape;
  const rowWords = cacheRowWords(format, shape);
  const width = keyValueHeads * headDim;
  const codes = new Int8Array(words.buffer, words.byteOffset, words.byteLength);
  const scales = new Float32Array(words.buffer, words.byteOffset, words.length);
  return Float32Array.from({ length: (words.length / rowWords) * width }, (_, i) => {
    const [token, feature] = [Math.floor(i / width), i % width];
    const scale = scales[token * rowWords + width / 4 + Math.floor(feature / headDim)];
    return (codes[token * rowWords * 4 + feature] / 127) * scale;
  });
}
