/**
 * Files of other formats, each made to do what a published vulnerability of its readers needed. None is a model; all
 * must be refused in time and without allocating what they claim.
 */
export interface AlienFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];

function littleEndian(value: bigint, bytes: number): number[] {
  return Array.from({ length: bytes }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

const u32 = (value: number): number[] => littleEndian(BigInt(value), 4);
const u64 = (value: bigint): number[] => littleEndian(value, 8);
const LARGEST = 0xffff_ffff_ffff_ffffn;

/** GGUF: magic, version, number of tensors, number of metadata entries. */
const gguf = (tensors: bigint, entries: bigint, ...rest: number[]): number[] => [
  ...ascii('GGUF'),
  ...u32(3),
  ...u64(tensors),
  ...u64(entries),
  ...rest,
];
const ggufString = (text: string, claimed = BigInt(text.length)): number[] => [
  ...u64(claimed),
  ...ascii(text),
];

const safetensors = (header: string, ...data: number[]): number[] => [
  ...u64(BigInt(header.length)),
  ...ascii(header),
  ...data,
];

const file = (name: string, bytes: number[]): AlienFile => ({ name, bytes: Uint8Array.from(bytes) });

export const ALIEN_FILES: readonly AlienFile[] = [
  // Counts that overflow when multiplied by an entry's size (CVE-2024-23496 and its kin in ggml, 2024).
  file('GGUF, as many entries as there can be', gguf(0n, LARGEST)),
  file('GGUF, as many tensors as there can be', gguf(LARGEST, 0n)),
  file('GGUF, a key of all the memory there is', gguf(0n, 1n, ...ggufString('general.name', LARGEST))),
  file(
    'GGUF, an array whose size wraps round',
    gguf(
      0n,
      1n,
      ...ggufString('tokenizer.ggml.tokens'),
      ...u32(9),
      ...u32(10),
      ...u64(0x2000_0000_0000_0001n),
    ),
  ),
  // Dimensions whose product wraps round to something small.
  file(
    'GGUF, dimensions that wrap round',
    gguf(1n, 0n, ...ggufString('t'), ...u32(2), ...u64(1n << 33n), ...u64(1n << 31n), ...u32(0), ...u64(0n)),
  ),
  file('GGUF, a type of metadata that there is not', gguf(0n, 1n, ...ggufString('k'), ...u32(0xffffffff))),
  // Headers that readers of safetensors were found to allocate, or to read ambiguously (Trail of Bits, 2023).
  file('safetensors, a header of all memory', [...u64(LARGEST), ...ascii('{}')]),
  file('safetensors, a header of 100 MB', [...u64(100_000_000n), ...ascii('{}')]),
  file(
    'safetensors, the same key twice',
    safetensors(
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}',
      0,
      0,
      0,
      0,
    ),
  ),
  file(
    'safetensors, tensors over one another',
    safetensors(
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}',
      ...new Array<number>(6).fill(0),
    ),
  ),
  file(
    'safetensors, another file in a hole',
    safetensors(
      '{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}',
      ...ascii('MZ\x90\0evil'),
      0,
      0,
      0,
      0,
    ),
  ),
  file(
    'safetensors, a shape that wraps round',
    safetensors('{"a":{"dtype":"F32","shape":[4294967296,4294967297],"data_offsets":[0,4]}}', 0, 0, 0, 0),
  ),
  file('safetensors, nested without end', safetensors('{"a":'.repeat(20_000))),
  file(
    'safetensors, a negative size',
    safetensors('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', 0, 0, 0, 0),
  ),
  // ONNX: external data outside the folder (CVE-2022-25882, CVE-2024-27318, CVE-2024-5187).
  file('ONNX, external data two folders up', [
    ...[0x08, 0x09, 0x3a, 0x2e, 0x2a, 0x2c, 0x6a, 0x2a, 0x0a, 0x08],
    ...ascii('location'),
    ...[0x12, 0x1e],
    ...ascii('../../../../../../../etc/passwd'),
  ]),
  file('ONNX, a length that never ends', [0x08, 0x09, 0x3a, ...new Array<number>(64).fill(0xff)]),
  // PyTorch's pickles run code when they are opened.
  file('pickle that calls os.system', [
    0x80,
    0x02,
    ...ascii('cposix\nsystem\nX\x04\0\0\0true'),
    0x85,
    0x52,
    0x2e,
  ]),
  file('ZIP of a PyTorch checkpoint', [
    ...ascii('PK\x03\x04'),
    ...new Array<number>(64).fill(0),
    ...ascii('data.pkl'),
  ]),
  file('ZIP that claims 4 GB from 22 bytes', [...ascii('PK\x05\x06'), ...new Array<number>(18).fill(0xff)]),
  file('NumPy object array', [0x93, ...ascii("NUMPY\x01\0\x46\0{'descr': '|O', 'shape': (1,)}")]),
  file('HDF5', [0x89, ...ascii('HDF\r\n\x1a\n'), ...new Array<number>(32).fill(0xff)]),
  file('nothing', []),
];
