import { SpeedqError, chooseFloatScheme, packFloat, packWeight } from '@speedq/format';
import type {
  BilevelScheme,
  FloatScheme,
  GroupRange,
  PackedBilevel,
  PackedSymmetric,
  PackedTensor,
  Scheme,
  SymmetricScheme,
} from '@speedq/format';
import type { TensorSource } from '@speedq/model';
import { packAsReferenceExports } from '../import/reference-arithmetic.ts';

export interface QuantizeTensorOptions {
  /** Bounds per group that replace each group's own. */
  readonly range?: GroupRange;
  /** Codes chosen by the reference implementation's arithmetic: of its training, in float32, or of its export. */
  readonly reference?: boolean | 'export';
  /** Elements quantized at a time; default: 16 MiB of floats, whatever the size of the table. */
  readonly chunkElements?: number;
}

const CHUNK_ELEMENTS = 1 << 22;

/** A float tensor's stored precision. Throws `not-representable` on NaN and infinity. */
export async function chooseStoredFloat(source: TensorSource, name: string): Promise<FloatScheme> {
  const values = await source.read(name);
  if (!values.every(Number.isFinite)) {
    throw new SpeedqError(
      'not-representable',
      `${name} holds NaN or infinity. The checkpoint is damaged or its training diverged.`,
    );
  }
  return chooseFloatScheme(values);
}

/**
 * Rounds one tensor to its scheme, to nearest, a few rows at a time.
 * Throws `shape-mismatch`, `not-representable`.
 */
export async function quantizeTensor(
  source: TensorSource,
  name: string,
  scheme: Scheme,
  options: QuantizeTensorOptions = {},
): Promise<PackedTensor> {
  if (scheme.kind === 'float') {
    return packFloat(await source.read(name), source.parameter(name).shape, scheme, name);
  }
  const [rows, columns] = source.parameter(name).shape;
  const step = scheme.kind === 'bilevel' ? scheme.scaleGroupSize : 1;
  const perChunk = Math.max(1, Math.floor((options.chunkElements ?? CHUNK_ELEMENTS) / columns / step)) * step;
  const chunks: PackedTensor[] = [];
  for (let start = 0; start < rows; start += perChunk) {
    const end = Math.min(rows, start + perChunk);
    const values = await source.readRows(name, start, end);
    const groups = scheme.kind === 'bilevel' ? columns / scheme.groupSize : 0;
    const bounds = options.range && {
      min: options.range.min.subarray(start * groups, end * groups),
      max: options.range.max.subarray(start * groups, end * groups),
    };
    const { reference } = options;
    const shape = [end - start, columns] as const;
    chunks.push(
      reference === 'export'
        ? packAsReferenceExports(values, shape, scheme, name)
        : packWeight(values, shape, scheme, { name, reference, range: bounds }),
    );
  }
  return chunks.length === 1 ? chunks[0] : joinRows(chunks, scheme, [rows, columns]);
}

/** Rows are the slowest dimension of every packed array, so tensors join end to end. */
function joinRows(
  chunks: readonly PackedTensor[],
  scheme: BilevelScheme | SymmetricScheme,
  shape: readonly [number, number],
): PackedTensor {
  if (scheme.kind === 'bilevel') {
    const parts = chunks as readonly PackedBilevel[];
    return {
      scheme,
      shape,
      codes: joinWords(parts.map(({ codes }) => codes)),
      meta: joinWords(parts.map(({ meta }) => meta)),
    };
  }
  const parts = chunks as readonly PackedSymmetric[];
  const scales = new Uint16Array(parts.reduce((sum, part) => sum + part.scales.length, 0));
  let offset = 0;
  for (const part of parts) {
    scales.set(part.scales, offset);
    offset += part.scales.length;
  }
  return { scheme, shape, codes: joinWords(parts.map(({ codes }) => codes)), scales };
}

function joinWords(parts: readonly Uint32Array[]): Uint32Array {
  const joined = new Uint32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    joined.set(part, offset);
    offset += part.length;
  }
  return joined;
}
