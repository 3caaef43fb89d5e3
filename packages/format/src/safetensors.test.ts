import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpeedqError } from './errors.ts';
import { MAX_HEADER_BYTES } from './limits.ts';
import {
  parseSafetensors,
  parseSafetensorsHeader,
  requireTensor,
  safetensorsHeaderBytes,
  tensorBytes,
  tensorToFloats,
  writeSafetensors,
} from './safetensors.ts';
import { thrown } from './test-weights.ts';

/** A file made by hand: size, header text, data. */
function file(header: string, dataBytes: number): Uint8Array {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setUint32(0, json.length, true);
  bytes.set(json, 8);
  return bytes;
}

const entry = (dtype: string, shape: string, begin: number | string, end: number | string): string =>
  `{"dtype":"${dtype}","shape":${shape},"data_offsets":[${begin},${end}]}`;
const good = `{"a":${entry('F32', '[2,1]', 0, 8)},"b":${entry('U8', '[3]', 8, 11)}}`;

describe('reader', () => {
  it('finds names, shapes and places, in any order and with any white space', () => {
    const text = `{ "b" : {"shape": [ 3 ],\n "data_offsets":[8 , 11],"dtype":"U8"}, "a":${entry('F32', '[]', 0, 4)},
      "c\\u00e9/\\"":${entry('BF16', '[1, 2]', 4, 8)}, "__metadata__": {"k": "v"}, "none":${entry('F32', '[0]', 11, 11)} }   `;
    const bytes = file(text, 11);
    const { tensors, metadata, dataOffset } = parseSafetensors(bytes);
    expect([...tensors.keys()]).toEqual(['b', 'a', 'cé/"', 'none']);
    expect(tensors.get('b')).toEqual({
      name: 'b',
      dtype: 'U8',
      shape: [3],
      offset: dataOffset + 8,
      bytes: 3,
    });
    expect(tensors.get('a')!.shape).toEqual([]);
    expect(tensors.get('none')!.bytes).toBe(0);
    expect([...metadata]).toEqual([['k', 'v']]);
    expect(dataOffset).toBe(bytes.length - 11);
  });

  it('needs only the header and the file size', () => {
    const bytes = file(good, 11);
    const headerBytes = safetensorsHeaderBytes(bytes.subarray(0, 8), bytes.length);
    expect(headerBytes).toBe(8 + good.length);
    expect(parseSafetensorsHeader(bytes.subarray(0, headerBytes), bytes.length).tensors.size).toBe(2);
  });

  it('accepts an empty file of tensors, and names such as __proto__', () => {
    expect(parseSafetensors(file('{}', 0)).tensors.size).toBe(0);
    const { tensors } = parseSafetensors(file(`{"__proto__":${entry('U8', '[1]', 0, 1)}}`, 1));
    expect(tensors.get('__proto__')!.bytes).toBe(1);
  });

  it('names a tensor that is missing', () => {
    const error = thrown(() =>
      requireTensor(parseSafetensors(file(good, 11)), 'lm_head.weight', 'x.safetensors'),
    );
    expect(error.code).toBe('missing-tensor');
    expect(error.message).toContain('x.safetensors: tensor "lm_head.weight"');
  });
});

const malformed: readonly [what: string, header: string, dataBytes: number, message: string][] = [
  ['no object', `[1]   `, 0, 'does not start with "{"'],
  ['leading space', ` {}`, 0, 'does not start with "{"'],
  ['a byte order mark', `\ufeff{}`, 0, 'does not start with "{"'],
  ['text after the object', `{} x`, 0, 'after the header'],
  ['an unclosed object', `{"a":${entry('U8', '[1]', 0, 1)}`, 1, 'expected "," or "}"'],
  ['an unclosed string', `{"a`, 0, 'ends inside a string'],
  ['a malformed string', `{"a\\x":${entry('U8', '[1]', 0, 1)}}`, 1, 'malformed string'],
  ['a trailing comma', `{"a":${entry('U8', '[1]', 0, 1)},}`, 1, 'a string'],
  [
    'a duplicate tensor',
    `{"a":${entry('U8', '[1]', 0, 1)},"a":${entry('U8', '[1]', 1, 2)}}`,
    2,
    'duplicate key "a"',
  ],
  [
    'a duplicate in other letters',
    `{"a":${entry('U8', '[1]', 0, 1)},"\\u0061":${entry('U8', '[1]', 1, 2)}}`,
    2,
    'duplicate',
  ],
  [
    'a duplicate dtype',
    `{"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}`,
    1,
    'duplicate key "dtype"',
  ],
  ['metadata that is no string', `{"__metadata__":{"a":1}}`, 0, 'is not a string'],
  ['nested metadata', `{"__metadata__":{"a":{}}}`, 0, 'is not a string'],
  ['an unknown key', `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":[]}}`, 1, 'unknown key "x"'],
  ['no dtype', `{"a":{"shape":[1],"data_offsets":[0,1]}}`, 1, 'needs dtype'],
  ['no shape', `{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1, 'needs dtype'],
  ['one offset', `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}`, 1, 'needs dtype'],
  ['three offsets', `{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}`, 1, 'more than 2'],
  ['too many dimensions', `{"a":${entry('U8', '[1,1,1,1,1,1,1,1,1]', 0, 1)}}`, 1, 'more than 8'],
  ['an unknown dtype', `{"a":${entry('F12', '[1]', 0, 1)}}`, 1, 'unknown dtype "F12"'],
  ['a dtype from the prototype', `{"a":${entry('toString', '[1]', 0, 1)}}`, 1, 'unknown dtype'],
  ['a negative size', `{"a":${entry('U8', '[-1]', 0, 1)}}`, 1, 'non-negative integer'],
  ['a fractional size', `{"a":${entry('U8', '[1.0]', 0, 1)}}`, 1, 'expected "," or "]"'],
  ['a leading zero', `{"a":${entry('U8', '[01]', 0, 1)}}`, 1, 'non-negative integer'],
  ['a size beyond 2^53', `{"a":${entry('U8', '[9007199254740993]', 0, 1)}}`, 1, 'beyond 2^53'],
  ['a product that overflows', `{"a":${entry('U8', '[4294967296,4294967296]', 0, 1)}}`, 1, 'overflows'],
  ['offsets that do not match the shape', `{"a":${entry('F32', '[2]', 0, 4)}}`, 4, 'needs 8 bytes'],
  ['offsets in reverse', `{"a":${entry('U8', '[1]', 1, 0)}}`, 1, 'before it begins'],
  ['an overlap', `{"a":${entry('U8', '[2]', 0, 2)},"b":${entry('U8', '[2]', 1, 3)}}`, 3, 'overlaps'],
  ['a hole', `{"a":${entry('U8', '[1]', 0, 1)},"b":${entry('U8', '[1]', 2, 3)}}`, 3, '1 unused bytes'],
  ['a hole at the start', `{"a":${entry('U8', '[1]', 4, 5)}}`, 5, '4 unused bytes'],
  ['bytes after the last tensor', good, 12, '1 bytes after the last tensor'],
];

describe('refuses, as invalid-safetensors', () => {
  it.each(malformed)('%s', (_, header, dataBytes, message) => {
    const error = thrown(() => parseSafetensors(file(header, dataBytes), 'bad.safetensors'));
    expect(error.code).toBe('invalid-safetensors');
    expect(error.message).toContain('bad.safetensors: ');
    expect(error.message).toContain(message);
  });

  it('a header that is not UTF-8', () => {
    const bytes = file(good, 11);
    bytes[10] = 0xff;
    expect(thrown(() => parseSafetensors(bytes)).message).toContain('UTF-8');
  });

  it.each([
    ['beyond the limit', MAX_HEADER_BYTES + 1, 0],
    ['of 2^32 and more', 2, 1],
    ['of nothing', 0, 0],
  ])('a header size %s', (_, low, high) => {
    const bytes = file(good, 11);
    new DataView(bytes.buffer).setUint32(0, low, true);
    new DataView(bytes.buffer).setUint32(4, high, true);
    expect(thrown(() => safetensorsHeaderBytes(bytes, 1e9)).code).toBe('invalid-safetensors');
  });
});

describe('reports as truncated', () => {
  it.each([0, 7, 8, 30, 8 + good.length, 8 + good.length + 10])('a file cut to %i bytes', (length) => {
    const error = thrown(() => parseSafetensors(file(good, 11).subarray(0, length)));
    expect(error.code).toBe('file-truncated');
  });

  it('a prefix shorter than the header', () => {
    const bytes = file(good, 11);
    expect(thrown(() => parseSafetensorsHeader(bytes.subarray(0, 20), bytes.length)).code).toBe(
      'file-truncated',
    );
  });
});

describe('any damage to the header', () => {
  const damage = fc.array(fc.tuple(fc.nat(file(good, 0).length - 1), fc.nat(255)), {
    minLength: 1,
    maxLength: 4,
  });
  it('is a typed error or a header that still fits its file', () => {
    fc.assert(
      fc.property(damage, (changes) => {
        const bytes = file(good, 11);
        for (const [position, value] of changes) bytes[position] = value;
        expectTypedErrorOrFit(bytes);
      }),
      { numRuns: 2000 },
    );
  });

  const json = fc.oneof(fc.json(), fc.string(), fc.stringMatching(/^[{}[\]":,0-9a-f\\ ]*$/));
  it('also when the text is made up', () => {
    fc.assert(
      fc.property(json, fc.nat(20), (text, data) => expectTypedErrorOrFit(file(text, data))),
      {
        numRuns: 2000,
      },
    );
  });

  function expectTypedErrorOrFit(bytes: Uint8Array): void {
    try {
      const { tensors, dataOffset } = parseSafetensors(bytes);
      let total = 0;
      for (const { bytes: size } of tensors.values()) total += size;
      expect(dataOffset + total).toBe(bytes.length);
    } catch (error) {
      expect(error).toBeInstanceOf(SpeedqError);
      expect(['invalid-safetensors', 'file-truncated']).toContain((error as SpeedqError).code);
    }
  }
});

describe('writer', () => {
  const tensors = [
    { name: 'z', dtype: 'F32', shape: [2], data: Float32Array.of(1.5, -2) },
    { name: 'a "é"', dtype: 'BF16', shape: [1, 2], data: Uint16Array.of(0x3f80, 0xc000) },
    { name: 'e', dtype: 'U8', shape: [3], data: Uint8Array.of(1, 2, 3) },
  ] as const;

  it('writes what the reader reads, in the order given, data at a multiple of 256', () => {
    const bytes = writeSafetensors(tensors, { format: 'pt' });
    const header = parseSafetensors(bytes);
    expect(header.dataOffset % 256).toBe(0);
    expect([...header.metadata]).toEqual([['format', 'pt']]);
    expect([...header.tensors.keys()]).toEqual(['z', 'a "é"', 'e']);
    expect(header.tensors.get('z')!.offset).toBe(header.dataOffset);
    const floats = (name: string) => {
      const info = header.tensors.get(name)!;
      return [...tensorToFloats(tensorBytes(bytes, info), info.dtype)];
    };
    expect(floats('z')).toEqual([1.5, -2]);
    expect(floats('a "é"')).toEqual([1, -2]);
    expect([...tensorBytes(bytes, header.tensors.get('e')!)]).toEqual([1, 2, 3]);
  });

  it('pads for any header length', () => {
    for (let length = 1; length < 300; length += 7) {
      const bytes = writeSafetensors([
        { name: 'n'.repeat(length), dtype: 'U8', shape: [1], data: Uint8Array.of(9) },
      ]);
      const { dataOffset } = parseSafetensors(bytes);
      expect(dataOffset % 256).toBe(0);
      expect(bytes[dataOffset]).toBe(9);
    }
  });

  it('refuses duplicate names and data of another size', () => {
    expect(thrown(() => writeSafetensors([tensors[0], tensors[0]])).code).toBe('invalid-safetensors');
    expect(thrown(() => writeSafetensors([{ ...tensors[0], shape: [3] }])).code).toBe('shape-mismatch');
  });
});

describe('float views', () => {
  it('converts F16, BF16 and F64, also from odd offsets', () => {
    const unaligned = (view: ArrayBufferView): Uint8Array => {
      const bytes = new Uint8Array(view.byteLength + 1);
      bytes.set(new Uint8Array(view.buffer), 1);
      return bytes.subarray(1);
    };
    expect([...tensorToFloats(unaligned(Uint16Array.of(0x3c00, 0xbe00)), 'F16')]).toEqual([1, -1.5]);
    expect([...tensorToFloats(unaligned(Uint16Array.of(0x3f80)), 'BF16')]).toEqual([1]);
    expect([...tensorToFloats(unaligned(Float32Array.of(3)), 'F32')]).toEqual([3]);
    expect([...tensorToFloats(unaligned(Float64Array.of(0.5)), 'F64')]).toEqual([0.5]);
  });

  it('refuses integers', () => {
    expect(thrown(() => tensorToFloats(new Uint8Array(4), 'U8')).code).toBe('unsupported');
  });
});
