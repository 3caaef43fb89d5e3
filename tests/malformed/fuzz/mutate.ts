import type { Random } from '../../../tools/src/data/random.ts';

/** Damage to files: to bytes, to JSON as a tree, and to the JSON header of a safetensors file. */

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];
const WORDS = [0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0x10000, 0x00ffffff];

/** One to four changes anywhere. */
export function mutateBytes(random: Random, file: Uint8Array, other: Uint8Array): Uint8Array {
  let bytes = file.slice();
  for (let left = 1 + random.int(4); left > 0; left--) bytes = change(random, bytes, other);
  return bytes;
}

function change(random: Random, bytes: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(bytes);
  if (copy.length === 0) return Uint8Array.from(other.subarray(0, 64));
  // Headers are where it hurts.
  const at = random.chance(0.5) ? random.int(Math.min(copy.length, 64)) : random.int(copy.length);
  const cut = (from: number, to: number): Uint8Array => copy.subarray(from, Math.max(from, to));
  switch (random.int(8)) {
    case 0:
      copy[at] ^= 1 << random.int(8);
      return copy;
    case 1:
      copy[at] = random.pick(INTERESTING);
      return copy;
    case 2: {
      const view = new DataView(copy.buffer);
      if (at + 4 <= copy.length) view.setUint32(at, random.pick(WORDS), random.chance(0.5));
      return copy;
    }
    case 3:
      return copy.slice(0, at);
    case 4: {
      const end = Math.min(copy.length, at + 1 + random.int(64));
      return join(cut(0, at), cut(end, copy.length));
    }
    case 5: {
      const noise = Uint8Array.from({ length: 1 + random.int(32) }, () => random.int(256));
      return join(cut(0, at), noise, cut(at, copy.length));
    }
    case 6: {
      const end = Math.min(copy.length, at + 1 + random.int(256));
      return join(cut(0, end), cut(at, copy.length));
    }
    default: {
      const from = random.int(other.length);
      return join(cut(0, at), other.subarray(from, from + random.int(256)));
    }
  }
}

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

type Json = unknown;

const VALUES: readonly (() => Json)[] = [
  () => null,
  () => true,
  () => -1,
  () => 0,
  () => 1.5,
  () => 2 ** 31,
  () => 2 ** 53,
  () => -(2 ** 63),
  () => 1e308,
  () => '',
  () => 'x'.repeat(5000),
  () => '../../etc/passwd',
  () => '\ud800',
  () => '__proto__',
  () => '{{ constructor.constructor("throw 1")() }}',
  () => [],
  () => ({}),
  () => [[[[[[[[]]]]]]]],
  () => ({ toString: 1, length: 2 ** 32, constructor: {} }),
  () => Array.from({ length: 1000 }, (_, i) => i),
];

interface Place {
  readonly holder: Record<string, Json>;
  readonly key: string;
}

/** A place drawn by walking down from the root, so that every level has its share. */
function draw(random: Random, root: Json): Place | undefined {
  let place: Place | undefined;
  let value = root;
  while (typeof value === 'object' && value !== null) {
    const holder = value as Record<string, Json>;
    const keys = Object.keys(holder);
    if (keys.length === 0) break;
    place = { holder, key: random.pick(keys) };
    value = holder[place.key];
    if (random.chance(0.25)) break;
  }
  return place;
}

/** JSON text with one to three places replaced, left out, renamed, doubled or swapped. */
export function mutateJson(random: Random, json: Json): string {
  const root = structuredClone(json);
  for (let left = 1 + random.int(3); left > 0; left--) {
    const place = draw(random, root);
    if (place === undefined) break;
    const { holder, key } = place;
    const value = holder[key];
    switch (random.int(6)) {
      case 0:
        delete holder[key];
        break;
      case 1:
        holder[random.pick(['__proto__x', 'constructor', `${key} `, ''])] = value;
        break;
      case 2:
        if (typeof value === 'number')
          holder[key] = random.pick([value + 1, -value, value * 2 ** 20, value / 3]);
        else if (typeof value === 'string') holder[key] = value.slice(0, random.int(value.length + 1));
        else holder[key] = random.pick(VALUES)();
        break;
      case 3: {
        const other = draw(random, root);
        if (other !== undefined) holder[key] = structuredClone(other.holder[other.key]);
        break;
      }
      default:
        holder[key] = random.pick(VALUES)();
    }
  }
  const text = JSON.stringify(root) ?? 'null';
  if (random.chance(0.05)) return `${'['.repeat(1 + random.int(5000))}${text}`;
  if (random.chance(0.05)) return text.replace(/\d+/, '9'.repeat(1 + random.int(400)));
  // Keys that stand twice, which JSON.stringify cannot write.
  if (random.chance(0.05)) return text.replace(/("[^"]{1,40}":)/, '$1null,$1');
  return text;
}

/** A safetensors file with a damaged JSON header whose size is right, or not. */
export function mutateSafetensors(random: Random, file: Uint8Array, other: Uint8Array): Uint8Array {
  if (file.length < 8 || random.chance(0.3)) return mutateBytes(random, file, other);
  const size = new DataView(file.buffer, file.byteOffset).getUint32(0, true);
  const json = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + size))) as Json;
  const header = new TextEncoder().encode(mutateJson(random, json));
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setUint32(0, random.chance(0.9) ? header.length : random.pick(WORDS), true);
  return join(prefix, header, file.subarray(8 + size));
}

/** A picture whose header claims other sizes, or that is damaged anywhere. */
export function mutatePicture(random: Random, file: Uint8Array, other: Uint8Array): Uint8Array {
  if (random.chance(0.5)) return mutateBytes(random, file, other);
  const bytes = file.slice();
  const view = new DataView(bytes.buffer);
  const at = sizeOffset(bytes);
  const sizes = [0, 1, 0x3fff, 0x4001, 0xffff, 0x7fffffff, 0xffffffff];
  for (const { offset, width, little } of at) {
    if (offset + width > bytes.length || random.chance(0.3)) continue;
    if (width === 2) view.setUint16(offset, random.pick(sizes) & 0xffff, little);
    else view.setUint32(offset, random.pick(sizes), little);
  }
  return bytes;
}

/** Where a PNG, GIF, BMP, WebP (lossy) or JPEG says how large it is. */
function sizeOffset(bytes: Uint8Array): { offset: number; width: 2 | 4; little: boolean }[] {
  const pair = (offset: number, width: 2 | 4, little: boolean) => [
    { offset, width, little },
    { offset: offset + width, width, little },
  ];
  if (bytes[0] === 0x89) return pair(16, 4, false);
  if (bytes[0] === 0x47) return pair(6, 2, true);
  if (bytes[0] === 0x42) return pair(18, 4, true);
  if (bytes[0] === 0x52) return pair(26, 2, true);
  const frame = bytes.findIndex(
    (byte, i) => byte === 0xff && (bytes[i + 1] === 0xc0 || bytes[i + 1] === 0xc2),
  );
  return frame < 0 ? [] : pair(frame + 5, 2, false);
}
