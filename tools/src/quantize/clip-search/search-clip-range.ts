import { CANDIDATES, maxCode, searchClipRange as search } from '@speedq/format';
import type { BilevelScheme, CandidateScorer, GroupRange, ScorerTask } from '@speedq/format';
import { assemble } from '@speedq/wasm/assembler';
import { LANES, TILE, scoreKernel } from './scorer-kernel.ts';

const PAGE = 65_536;

/** The clipping search of @speedq/format, its candidates scored four at a time. */
export function searchClipRange(
  weight: Float32Array,
  rows: number,
  columns: number,
  scheme: BilevelScheme,
  gram: Float64Array,
  options: { readonly name?: string; readonly reference?: boolean } = {},
): GroupRange {
  return search(weight, rows, columns, scheme, gram, { ...options, openScorer });
}

type Score = (...addresses: number[]) => void;

interface Kernel {
  readonly memory: WebAssembly.Memory;
  readonly score: Score;
}

const kernels = new Map<string, Kernel>();

function kernelFor(qmax: number, hasMinima: boolean): Kernel {
  const key = `${qmax} ${hasMinima}`;
  const known = kernels.get(key);
  if (known !== undefined) return known;
  const memory = new WebAssembly.Memory({ initial: 1 });
  const module = new WebAssembly.Module(assemble([scoreKernel(qmax, hasMinima)]));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const kernel = { memory, score: exports.score as Score };
  kernels.set(key, kernel);
  return kernel;
}

/** Addresses: candidates, their errors, room for a group's errors, the Gram matrices, and one group of weights. */
function openScorer({ weight, gram, scheme }: ScorerTask): CandidateScorer | undefined {
  const { groupSize } = scheme;
  if (groupSize % TILE !== 0 || groupSize < 2 * TILE) return undefined;
  const { memory, score } = kernelFor(maxCode(scheme), scheme.zero === 'minimum');
  let end = 0;
  const place = (bytes: number): number => (end += bytes) - bytes;
  const [min, max, scale, offset] = Array.from({ length: 4 }, () => place(4 * CANDIDATES));
  const errors = place(8 * CANDIDATES);
  const room = place(8 * LANES * groupSize);
  const weights = place(4 * groupSize);
  const matrices = place(8 * gram.length);
  const missing = end - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE));
  const { buffer } = memory;
  const candidates = (address: number) => new Float32Array(buffer, address, CANDIDATES);
  new Float64Array(buffer, matrices, gram.length).set(gram);
  const group = new Float32Array(buffer, weights, groupSize);
  return {
    ...{ min: candidates(min), max: candidates(max), scale: candidates(scale), offset: candidates(offset) },
    errors: new Float64Array(buffer, errors, CANDIDATES),
    score(index, column, count) {
      if (count === 0) return;
      const start = index * groupSize;
      for (let i = 0; i < groupSize; i++) group[i] = weight[start + i];
      const matrix = matrices + 8 * groupSize * groupSize * column;
      score(weights, matrix, min, max, scale, offset, errors, room, groupSize, Math.ceil(count / LANES));
    },
  };
}
