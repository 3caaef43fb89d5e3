/** Bytes of logits that may exist at a time. */
const CHUNK_BYTES = 64 * 2 ** 20;

/** Rows per chunk: equal chunks, so that the last is not mostly padding. */
export function chunkRows(rows: number, vocabulary: number, most?: number): number {
  const limit = Math.max(1, most ?? Math.floor(CHUNK_BYTES / 4 / vocabulary));
  return Math.ceil(rows / Math.ceil(rows / limit));
}

/** Elements [start, start + length) of data, zeros beyond its end. */
export function padded<T extends Float32Array | BigInt64Array>(data: T, start: number, length: number): T {
  const end = start + length;
  if (end <= data.length) return data.subarray(start, end) as T;
  const result = new (data.constructor as new (length: number) => T)(length);
  (result as Float32Array).set(data.subarray(start) as Float32Array);
  return result;
}
