import { SpeedqError } from './errors.ts';
import { DATA_ALIGNMENT, MAX_SHARD_BYTES } from './limits.ts';
import { partStep } from './manifest.ts';
import type { ManifestTensor, TensorPart } from './manifest.ts';
import type { PackedTensor } from './pack.ts';
import { declaredBytes, safetensorsHeader, writeSafetensors } from './safetensors.ts';
import { packedBytes, schemeName } from './schemes.ts';
import type { Scheme } from './schemes.ts';
import { storedArray, storedTensors } from './stored-tensors.ts';
import type { StoredTensor } from './stored-tensors.ts';

/** Distribution of a model's tensors over safetensors files of at most 32 MiB (docs/format.md, "Shards"). */

export interface PlannedTensor {
  readonly name: string;
  readonly scheme: Scheme;
  readonly shape: readonly number[];
}

/** One stored tensor of a shard: rows rowStart… of the tensor it belongs to. */
export interface ShardEntry extends StoredTensor {
  readonly tensor: string;
  readonly rowStart: number;
}

export interface Shard {
  readonly file: string;
  /** In the order in which they are stored. */
  readonly entries: readonly ShardEntry[];
}

export interface ShardPlan {
  readonly shards: readonly Shard[];
  /** As the manifest lists them. */
  readonly tensors: ReadonlyMap<string, ManifestTensor>;
}

export interface ShardOptions {
  /** File name stem: `<stem>-00001-of-00003.safetensors`. */
  readonly stem?: string;
  readonly maxBytes?: number;
}

/**
 * Fills shards in the order given; a tensor that does not fit into a shard of its own is split by rows.
 * Throws `invalid-scheme`/`shape-mismatch` as checkScheme does, `invalid-argument` if one panel exceeds a shard.
 */
export function planShards(tensors: readonly PlannedTensor[], options: ShardOptions = {}): ShardPlan {
  const { stem = 'model', maxBytes = MAX_SHARD_BYTES } = options;
  const shards: ShardEntry[][] = [];
  let used = Infinity;
  const parts = new Map<string, { shard: number; rows: number }[]>();
  for (const { name, scheme, shape } of tensors) {
    if (parts.has(name)) throw new SpeedqError('invalid-argument', `Tensor ${name} is planned twice.`);
    const split = splitRows(name, scheme, shape, maxBytes);
    parts.set(name, []);
    let rowStart = 0;
    for (const [index, rows] of split.entries()) {
      const stored = storedTensors(name, scheme, shape, split.length > 1 ? index : undefined, rows);
      const bytes = shardBytes(stored);
      if (used + bytes > maxBytes) {
        shards.push([]);
        used = HEADER_RESERVE;
      }
      used += bytes;
      for (const entry of stored) shards[shards.length - 1].push({ ...entry, tensor: name, rowStart });
      parts.get(name)!.push({ shard: shards.length - 1, rows });
      rowStart += rows;
    }
  }
  const file = (shard: number): string =>
    `${stem}-${digits(shard + 1)}-of-${digits(shards.length)}.safetensors`;
  const planned = new Map<string, ManifestTensor>();
  for (const { name, scheme, shape } of tensors) {
    const list = parts.get(name)!.map(({ shard, rows }): TensorPart => ({ file: file(shard), rows }));
    planned.set(name, { scheme, shape, parts: list });
  }
  return {
    shards: shards.map((entries, shard) => ({ file: file(shard), entries: byAlignment(entries) })),
    tensors: planned,
  };
}

/** Size prefix, braces, metadata and padding of a header, beside its tensors' entries. */
const HEADER_RESERVE = 2 * DATA_ALIGNMENT;
/** Bound on a header entry beside its name: dtype, offsets and up to 8 sizes of 10 digits. */
const ENTRY_RESERVE = 192;

function shardBytes(stored: readonly StoredTensor[]): number {
  let bytes = 0;
  for (const tensor of stored)
    bytes += declaredBytes(tensor) + JSON.stringify(tensor.name).length * 3 + ENTRY_RESERVE;
  return bytes;
}

function splitRows(name: string, scheme: Scheme, shape: readonly number[], maxBytes: number): number[] {
  const rows = shape[0] ?? 1;
  const total = packedBytes(scheme, shape, name);
  const longestName = JSON.stringify(`${name}.scales.part00000`);
  const budget = maxBytes - HEADER_RESERVE - 2 * (longestName.length * 3 + ENTRY_RESERVE);
  if (total <= budget) return [rows];
  const step = partStep(scheme);
  const perPart = Math.floor(budget / ((total / rows) * step)) * step;
  if (perPart < step) {
    throw new SpeedqError(
      'invalid-argument',
      `${name}: ${step} rows of [${shape.join(', ')}] in ${schemeName(scheme)} exceed a shard of ${maxBytes} bytes.`,
    );
  }
  const split: number[] = [];
  for (let left = rows; left > 0; left -= perPart) split.push(Math.min(perPart, left));
  return split;
}

/** Largest power of two up to 256 that divides a size. */
function alignmentOf(bytes: number): number {
  return bytes === 0 ? DATA_ALIGNMENT : Math.min(bytes & -bytes, DATA_ALIGNMENT);
}

/** Coarsest alignment first, so that every tensor starts at a multiple of its own. */
function byAlignment(entries: readonly ShardEntry[]): ShardEntry[] {
  return [...entries].sort((a, b) => alignmentOf(declaredBytes(b)) - alignmentOf(declaredBytes(a)));
}

function digits(value: number): string {
  return String(value).padStart(5, '0');
}

/**
 * The shards' bytes, one file at a time. `load` is asked for a tensor whenever a shard starts to need it and
 * only the last one is kept, so memory stays at one shard and one tensor.
 * Throws `shape-mismatch` if a loaded tensor is not the planned one.
 */
export async function* writeShards(
  plan: ShardPlan,
  load: (name: string) => Promise<PackedTensor> | PackedTensor,
): AsyncGenerator<{ readonly name: string; readonly bytes: Uint8Array }> {
  let last: { name: string; tensor: PackedTensor } | undefined;
  for (const { file, entries } of plan.shards) {
    const data = new Map<ShardEntry, ArrayBufferView>();
    const modelOrder = new Map<string, ShardEntry[]>();
    for (const entry of entries) {
      const list = modelOrder.get(entry.tensor);
      if (list === undefined) modelOrder.set(entry.tensor, [entry]);
      else list.push(entry);
    }
    for (const [name, list] of modelOrder) {
      if (last?.name !== name) last = { name, tensor: await load(name) };
      checkPlanned(name, last.tensor, plan.tensors.get(name)!);
      for (const entry of list) data.set(entry, rowsOf(last.tensor, entry));
    }
    const stored = entries.map((entry) => ({ ...entry, data: data.get(entry)! }));
    yield { name: file, bytes: writeSafetensors(stored, METADATA) };
  }
}

const METADATA = { format: 'speedq' };

/** Bytes that the shard's file will have, header included. */
export function shardFileBytes({ entries }: Shard): number {
  const header = safetensorsHeader(entries, METADATA).length;
  return entries.reduce((sum, entry) => sum + declaredBytes(entry), header);
}

/** The entry's rows of the array that holds them all. */
function rowsOf(tensor: PackedTensor, entry: ShardEntry): ArrayBufferView {
  const array = storedArray(tensor, entry.kind);
  const start = (array.length / (tensor.shape[0] ?? 1)) * entry.rowStart;
  const length = declaredBytes(entry) / array.BYTES_PER_ELEMENT;
  return array.subarray(start, start + length);
}

function checkPlanned(name: string, tensor: PackedTensor, planned: ManifestTensor): void {
  const actual = `${schemeName(tensor.scheme)} [${tensor.shape.join(', ')}]`;
  const expected = `${schemeName(planned.scheme)} [${planned.shape.join(', ')}]`;
  if (actual !== expected) {
    throw new SpeedqError('shape-mismatch', `${name}: planned as ${expected}, loaded as ${actual}.`);
  }
}

/** model.safetensors.index.json, by which Hugging Face tools find stored tensors. */
export function shardIndex(plan: ShardPlan): string {
  const weightMap: Record<string, string> = {};
  let total = 0;
  for (const { file, entries } of plan.shards) {
    for (const entry of entries) {
      weightMap[entry.name] = file;
      total += declaredBytes(entry);
    }
  }
  return `${JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }, null, 1)}\n`;
}
