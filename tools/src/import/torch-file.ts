import { SpeedqError, bfloatsToFloats, halvesToFloats } from '@speedq/format';
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { unpickle } from './pickle.ts';
import type { PickleValue } from './pickle.ts';
import { readStoredZip } from './zip.ts';

/** A dense tensor of a file that torch.save wrote. */
export class TorchTensor {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly values: Float32Array;

  constructor(shape: readonly number[], values: Float32Array) {
    this.shape = shape;
    this.values = values;
  }
}

/** Whole files are read, up to what one buffer of Node holds. */
const MAX_BYTES = 2 ** 31 - 1;

/** torch's storage classes and how their elements, in a buffer of their own, become floats. */
const STORAGES: Readonly<Record<string, (buffer: ArrayBuffer) => Float32Array>> = {
  CharStorage: (buffer) => Float32Array.from(new Int8Array(buffer)),
  ByteStorage: (buffer) => Float32Array.from(new Uint8Array(buffer)),
  HalfStorage: (buffer) => halvesToFloats(new Uint16Array(buffer, 0, buffer.byteLength >> 1)),
  BFloat16Storage: (buffer) => bfloatsToFloats(new Uint16Array(buffer, 0, buffer.byteLength >> 1)),
  FloatStorage: (buffer) => new Float32Array(buffer, 0, buffer.byteLength >> 2),
};

class Storage {
  readonly values: Float32Array;
  constructor(values: Float32Array) {
    this.values = values;
  }
}

/**
 * The tensors of a dictionary that torch.save wrote; entries that are no tensors are left out.
 * Throws `missing-tensor` where there is no such file, `invalid-data` where it is something else.
 */
export async function readTorchFile(path: string): Promise<ReadonlyMap<string, TorchTensor>> {
  const fail = (message: string): never => {
    throw new SpeedqError(
      'invalid-data',
      `${path}: ${message}. Expected a dictionary of tensors as torch.save writes it.`,
    );
  };
  const size = await stat(path).then(
    (found) => found.size,
    () => {
      throw new SpeedqError('missing-tensor', `${path} does not exist. Copy the whole folder of codes.`);
    },
  );
  if (size > MAX_BYTES) fail(`it has ${size} bytes, more than ${MAX_BYTES}`);
  const entries = readStoredZip(await readFile(path), fail);
  const pickled = [...entries.keys()].find((name) => name.endsWith('/data.pkl'));
  if (pickled === undefined) return fail(`${basename(path)} has no data.pkl inside`);
  const root = pickled.slice(0, -'data.pkl'.length);
  const order = entries.get(`${root}byteorder`);
  if (order !== undefined && new TextDecoder().decode(order) !== 'little') fail('it is big-endian');

  const storages = new Map<string, Storage>();
  const value = unpickle(entries.get(pickled)!, {
    fail,
    load(id) {
      const [kind, type, key] = Array.isArray(id) ? (id as readonly PickleValue[]) : [];
      if (kind !== 'storage' || typeof key !== 'string') return fail('it refers to no storage');
      const known = storages.get(key);
      if (known !== undefined) return known;
      const name = String((type as { name?: unknown } | null)?.name).replace(/^torch\./, '');
      const bytes = entries.get(`${root}data/${key}`);
      if (bytes === undefined) return fail(`its storage ${key} is missing`);
      if (!Object.hasOwn(STORAGES, name)) return fail(`it holds tensors of ${name}`);
      // A copy is aligned.
      const storage = new Storage(STORAGES[name](Uint8Array.from(bytes).buffer));
      storages.set(key, storage);
      return storage;
    },
    construct(name, args) {
      if (name === 'collections.OrderedDict') return new Map();
      if (name === 'torch._utils._rebuild_parameter') return args[0];
      if (name === 'torch._utils._rebuild_tensor_v2') return rebuildTensor(args, fail);
      return fail(`it calls ${name}`);
    },
  });
  if (!(value instanceof Map)) return fail('it holds something else');
  const tensors = new Map<string, TorchTensor>();
  for (const [key, tensor] of value) {
    if (typeof key === 'string' && tensor instanceof TorchTensor) tensors.set(key, tensor);
  }
  return tensors;
}

function rebuildTensor(args: readonly PickleValue[], fail: (message: string) => never): TorchTensor {
  const [storage, offset, shape, stride] = args;
  if (!(storage instanceof Storage) || !isCounts([offset]) || !isCounts(shape) || !isCounts(stride)) {
    return fail('a tensor of it is damaged');
  }
  const start = offset as number;
  const count = shape.reduce((product, size) => product * size, 1);
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * stride[axis], start);
  // Also keeps a repeated axis from asking for more memory than the file has.
  if (shape.length !== stride.length || count > storage.values.length || last >= storage.values.length) {
    return fail('a tensor reaches beyond its storage');
  }
  if (isRowMajor(shape, stride)) {
    return new TorchTensor(shape, storage.values.subarray(start, start + count));
  }
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let rest = i;
    let source = start;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const index = rest % shape[axis];
      source += index * stride[axis];
      rest = (rest - index) / shape[axis];
    }
    values[i] = storage.values[source];
  }
  return new TorchTensor(shape, values);
}

function isRowMajor(shape: readonly number[], stride: readonly number[]): boolean {
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && stride[axis] !== step) return false;
    step *= shape[axis];
  }
  return true;
}

function isCounts(values: PickleValue): values is readonly number[] {
  return Array.isArray(values) && values.every((value) => Number.isSafeInteger(value) && value >= 0);
}
