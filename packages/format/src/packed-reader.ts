import { SpeedqError } from './errors.ts';
import type { ManifestTensor, PackedManifest } from './manifest.ts';
import type { PackedBilevel, PackedFloat, PackedSymmetric, PackedTensor } from './pack.ts';
import { bytesAs, declaredBytes, requireTensor } from './safetensors.ts';
import type { SafetensorsHeader, TensorInfo } from './safetensors.ts';
import { storedTensors } from './stored-tensors.ts';
import type { StoredKind, StoredTensor } from './stored-tensors.ts';

/** Reading packed tensors back from shards. */

/** One stored tensor of one part of a packed tensor, as the manifest implies it. */
export interface ExpectedEntry extends StoredTensor {
  readonly file: string;
  readonly rowStart: number;
  readonly rows: number;
}

/** Every stored tensor of `tensor`, in part order. */
export function expectedEntries(name: string, { scheme, shape, parts }: ManifestTensor): ExpectedEntry[] {
  const entries: ExpectedEntry[] = [];
  let rowStart = 0;
  for (const [index, { file, rows }] of parts.entries()) {
    const part = parts.length > 1 ? index : undefined;
    for (const stored of storedTensors(name, scheme, shape, part, rows)) {
      entries.push({ ...stored, file, rowStart, rows });
    }
    rowStart += rows;
  }
  return entries;
}

/** The entry's place in its shard. Throws `missing-tensor`, `shape-mismatch`. */
export function locateEntry(entry: ExpectedEntry, header: SafetensorsHeader): TensorInfo {
  const info = requireTensor(header, entry.name, entry.file);
  if (info.dtype !== entry.dtype || String(info.shape) !== String(entry.shape)) {
    throw new SpeedqError(
      'shape-mismatch',
      `${entry.file}: tensor "${entry.name}" should be ${entry.dtype} [${entry.shape.join(', ')}], ` +
        `got ${info.dtype} [${info.shape.join(', ')}]. Pack the model again.`,
    );
  }
  return info;
}

/**
 * Checks that one shard holds exactly what the manifest says: nothing missing, nothing of another shape, nothing
 * more. Throws `missing-tensor`, `shape-mismatch`, `invalid-safetensors`.
 */
export function checkShard(manifest: PackedManifest, file: string, header: SafetensorsHeader): void {
  const expected = new Set<string>();
  for (const [name, tensor] of manifest.tensors) {
    if (!tensor.parts.some((part) => part.file === file)) continue;
    for (const entry of expectedEntries(name, tensor)) {
      if (entry.file !== file) continue;
      locateEntry(entry, header);
      expected.add(entry.name);
    }
  }
  for (const name of header.tensors.keys()) {
    if (!expected.has(name)) {
      throw new SpeedqError(
        'invalid-safetensors',
        `${file}: tensor "${name}" is not in the manifest. Pack the model again.`,
      );
    }
  }
}

/** An open shard: its header, and the bytes of a tensor in it. */
export interface ShardReader {
  readonly header: SafetensorsHeader;
  read(info: TensorInfo): Promise<Uint8Array> | Uint8Array;
}

/**
 * Reads one tensor, its parts joined. Throws `missing-tensor` (also where the manifest has no such tensor),
 * `shape-mismatch`, `file-truncated`.
 */
export async function readPackedTensor(
  manifest: PackedManifest,
  name: string,
  open: (file: string) => Promise<ShardReader> | ShardReader,
): Promise<PackedTensor> {
  const tensor = manifest.tensors.get(name);
  if (tensor === undefined) {
    throw new SpeedqError(
      'missing-tensor',
      `The packed model has no tensor "${name}". Pack the model again.`,
    );
  }
  const { scheme, shape } = tensor;
  const entries = expectedEntries(name, tensor);
  const joined = new Map<StoredKind, Uint8Array>();
  for (const kind of new Set(entries.map((entry) => entry.kind))) {
    const ofKind = entries.filter((entry) => entry.kind === kind);
    const bytes = new Uint8Array(ofKind.reduce((sum, entry) => sum + declaredBytes(entry), 0));
    let offset = 0;
    for (const entry of ofKind) {
      const shard = await open(entry.file);
      const info = locateEntry(entry, shard.header);
      const part = await shard.read(info);
      if (part.length !== info.bytes) {
        throw new SpeedqError(
          'file-truncated',
          `${entry.file}: expected ${info.bytes} bytes of "${entry.name}", got ${part.length}. Download it again.`,
        );
      }
      bytes.set(part, offset);
      offset += part.length;
    }
    joined.set(kind, bytes);
  }
  const words = (kind: StoredKind): Uint32Array => bytesAs(Uint32Array, joined.get(kind)!);
  const halves = (kind: StoredKind): Uint16Array => bytesAs(Uint16Array, joined.get(kind)!);
  const matrix = [shape[0], shape[1]] as const;
  if (scheme.kind === 'bilevel') {
    return { scheme, shape: matrix, codes: words('codes'), meta: words('meta') } satisfies PackedBilevel;
  }
  if (scheme.kind === 'symmetric') {
    return {
      scheme,
      shape: matrix,
      codes: words('codes'),
      scales: halves('scales'),
    } satisfies PackedSymmetric;
  }
  const data = scheme.dtype === 'f16' ? halves('data') : bytesAs(Float32Array, joined.get('data')!);
  return { scheme, shape, data } satisfies PackedFloat;
}

/** SHA-256 of bytes in lower-case hexadecimal, by WebCrypto. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Throws `file-truncated` or `checksum-mismatch` unless the file is the one the manifest lists. */
export async function verifyFile(manifest: PackedManifest, name: string, bytes: Uint8Array): Promise<void> {
  const file = manifest.files.find((entry) => entry.name === name);
  if (file === undefined) {
    throw new SpeedqError('invalid-manifest', `The manifest does not list "${name}". Pack the model again.`);
  }
  if (bytes.length !== file.bytes) {
    throw new SpeedqError(
      bytes.length < file.bytes ? 'file-truncated' : 'checksum-mismatch',
      `${name}: expected ${file.bytes} bytes, got ${bytes.length}. Download it again.`,
    );
  }
  const actual = await sha256(bytes);
  if (actual !== file.sha256) {
    throw new SpeedqError(
      'checksum-mismatch',
      `${name}: expected SHA-256 ${file.sha256}, got ${actual}: the file was altered. Download it again.`,
    );
  }
}
