import { SpeedqError } from './errors.ts';
import {
  MAX_FILES,
  MAX_GROUP_SIZE,
  MAX_MANIFEST_BYTES,
  MAX_RANK,
  MAX_SHARD_BYTES,
  MAX_TENSORS,
} from './limits.ts';
import { crc32 } from './crc32.ts';
import { JsonReader } from './json-reader.ts';
import { parseJson } from './json.ts';
import { checkScheme, bilevelLayout } from './schemes.ts';
import type { Scheme } from './schemes.ts';

/** manifest.json of a packed model: docs/format.md. Written by `speedq`, read from wherever a page points. */

export const MANIFEST_FILE = 'manifest.json';

export interface ManifestFile {
  readonly name: string;
  readonly bytes: number;
  /** 64 lower-case hex digits. */
  readonly sha256: string;
}

export interface TensorPart {
  /** The shard that holds all stored tensors of this part. */
  readonly file: string;
  /** Rows of the first dimension. */
  readonly rows: number;
}

export interface ManifestTensor {
  readonly scheme: Scheme;
  readonly shape: readonly number[];
  /** In row order; their rows add up to shape[0]. */
  readonly parts: readonly TensorPart[];
}

/** What the chat template resolved to when the model was packed. */
export interface ManifestPrompt {
  readonly systemPrompt: string | null;
  readonly imageStart: string;
  readonly imageContext: string;
  readonly imageEnd: string;
}

export interface ManifestTiling {
  readonly tileSize: number;
  readonly minTiles: number;
  readonly maxTiles: number;
  readonly useThumbnail: boolean;
}

export interface PackedManifest {
  readonly name: string;
  /** Every file of the folder but the manifest. */
  readonly files: readonly ManifestFile[];
  /** By canonical name, in model order. */
  readonly tensors: ReadonlyMap<string, ManifestTensor>;
  readonly prompt: ManifestPrompt;
  readonly stopTokenIds: readonly number[];
  readonly tiling: ManifestTiling;
  /** Per RGB channel, of pixels in 0…1. */
  readonly normalization: {
    readonly mean: readonly [number, number, number];
    readonly std: readonly [number, number, number];
  };
  readonly tokensPerTile: number;
}

const FORMAT = 'speedq-packed';
const VERSION = 1;
const TOP_KEYS = [
  'format',
  'version',
  'name',
  'files',
  'tensors',
  'prompt',
  'stopTokenIds',
  'tiling',
  'normalization',
  'tokensPerTile',
  'checksum',
] as const;

/** manifest.json as text. */
export function stringifyManifest(manifest: PackedManifest): string {
  const { tensors, ...rest } = manifest;
  const checksum = NO_CHECKSUM;
  const json = { format: FORMAT, version: VERSION, ...rest, tensors: Object.fromEntries(tensors), checksum };
  const text = `${JSON.stringify(json, null, 1)}\n`;
  return withChecksum(text, NO_CHECKSUM, crc32(text));
}

const NO_CHECKSUM = '00000000';

/** The text with another value of "checksum", which is the last key. */
function withChecksum(text: string, from: string, to: string): string {
  const at = text.lastIndexOf(`"checksum": "${from}"`);
  return at < 0 ? text : text.slice(0, at) + text.slice(at).replace(from, to);
}

/** Reads manifest.json and checks everything in it. Throws `invalid-manifest`. */
export function parseManifest(text: string): PackedManifest {
  if (text.length > MAX_MANIFEST_BYTES) invalid(`it is longer than ${MAX_MANIFEST_BYTES} bytes`);
  let json: unknown;
  try {
    json = parseJson(text);
  } catch (cause) {
    throw new SpeedqError('invalid-manifest', `${MANIFEST_FILE} is not JSON. Download the model again.`, {
      cause,
    });
  }
  const root = new JsonReader(json, MANIFEST_FILE, invalid);
  if (!root.has('format') || root.get('format').value !== FORMAT) invalid(`"format" is not "${FORMAT}"`);
  const version = root.get('version').integer(1);
  if (version !== VERSION) {
    invalid(`version ${version} is not supported, only ${VERSION}; update speedq or pack the model again`);
  }
  root.onlyKeys(TOP_KEYS);
  if (root.has('checksum')) {
    const checksum = root.get('checksum').string();
    if (crc32(withChecksum(text, checksum, NO_CHECKSUM)) !== checksum)
      invalid('it was altered: "checksum" differs');
  }
  const files = root.get('files').array(MAX_FILES).map(readFile);
  const sizes = new Map(files.map(({ name, bytes }) => [name, bytes]));
  if (sizes.size !== files.length) invalid('"files" lists a file twice');
  const tensors = new Map<string, ManifestTensor>();
  const entries = root.get('tensors').entries(MAX_TENSORS);
  for (const [name, reader] of entries) tensors.set(name, readTensor(name, reader, sizes));
  const prompt = root.get('prompt').onlyKeys(['systemPrompt', 'imageStart', 'imageContext', 'imageEnd']);
  const systemPrompt = prompt.get('systemPrompt');
  return {
    name: root.get('name').string(),
    files,
    tensors,
    prompt: {
      systemPrompt: systemPrompt.value === null ? null : systemPrompt.string(),
      imageStart: prompt.get('imageStart').string(),
      imageContext: prompt.get('imageContext').string(),
      imageEnd: prompt.get('imageEnd').string(),
    },
    stopTokenIds: root
      .get('stopTokenIds')
      .array(1024)
      .map((id) => id.integer(0, 2 ** 31)),
    tiling: readTiling(root.get('tiling')),
    normalization: readNormalization(root.get('normalization')),
    tokensPerTile: root.get('tokensPerTile').integer(1, 65_536),
  };
}

function invalid(message: string): never {
  throw new SpeedqError(
    'invalid-manifest',
    `${MANIFEST_FILE}: ${message}. Download or pack the model again.`,
  );
}

/** Plain names only: a manifest must not reach outside its folder. */
function fileName(reader: JsonReader): string {
  const name = reader.string();
  if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,199}$/.test(name) || name.includes('..')) {
    invalid(`${reader.path}: "${name.slice(0, 80)}" is not a plain file name`);
  }
  return name;
}

function readFile(reader: JsonReader): ManifestFile {
  reader.onlyKeys(['name', 'bytes', 'sha256']);
  const name = fileName(reader.get('name'));
  const isShard = name.endsWith('.safetensors');
  const bytes = reader.get('bytes').integer(0, isShard ? MAX_SHARD_BYTES : Number.MAX_SAFE_INTEGER);
  const sha256 = reader.get('sha256').string();
  if (!/^[0-9a-f]{64}$/.test(sha256)) invalid(`${reader.path}.sha256 is not 64 hexadecimal digits`);
  if (name === MANIFEST_FILE) invalid('it lists itself');
  return { name, bytes, sha256 };
}

function readTensor(name: string, reader: JsonReader, sizes: ReadonlyMap<string, number>): ManifestTensor {
  reader.onlyKeys(['scheme', 'shape', 'parts']);
  const scheme = readScheme(reader.get('scheme'));
  const shape = reader
    .get('shape')
    .array(MAX_RANK)
    .map((size) => size.integer(1, 2 ** 31));
  if (!Number.isSafeInteger(shape.reduce((product, size) => product * size, 4))) {
    invalid(`${reader.path}.shape overflows`);
  }
  const step = partStep(scheme);
  const parts = reader
    .get('parts')
    .array(MAX_FILES)
    .map((part): TensorPart => {
      part.onlyKeys(['file', 'rows']);
      const file = fileName(part.get('file'));
      if (!sizes.has(file)) invalid(`${part.path} names "${file}", which "files" does not list`);
      return { file, rows: part.get('rows').integer(1) };
    });
  const rows = shape[0] ?? 1;
  if (parts.reduce((sum, part) => sum + part.rows, 0) !== rows) {
    invalid(`the parts of ${name} do not add up to ${rows} rows`);
  }
  for (const part of parts.slice(0, -1)) {
    if (part.rows % step !== 0) invalid(`a part of ${name} has ${part.rows} rows, not a multiple of ${step}`);
  }
  try {
    checkScheme(scheme, shape, name);
    if (scheme.kind === 'bilevel') bilevelLayout(scheme);
  } catch (cause) {
    throw new SpeedqError('invalid-manifest', `${MANIFEST_FILE}: ${(cause as Error).message}`, { cause });
  }
  return { scheme, shape, parts };
}

function readScheme(reader: JsonReader): Scheme {
  const kind = reader.get('kind').string();
  if (kind === 'float') {
    reader.onlyKeys(['kind', 'dtype']);
    return { kind, dtype: reader.get('dtype').oneOf(['f16', 'f32']) };
  }
  if (kind === 'symmetric') {
    reader.onlyKeys(['kind', 'bits', 'groupSize']);
    return {
      kind,
      bits: reader.get('bits').oneOf([2, 3, 4]),
      groupSize: reader.get('groupSize').integer(32, MAX_GROUP_SIZE),
    };
  }
  if (kind === 'bilevel') {
    reader.onlyKeys(['kind', 'bits', 'groupSize', 'scaleGroupSize', 'zero']);
    return {
      kind,
      bits: reader.get('bits').oneOf([2, 3, 4]),
      groupSize: reader.get('groupSize').integer(1, MAX_GROUP_SIZE),
      scaleGroupSize: reader.get('scaleGroupSize').integer(1, 4096),
      zero: reader.get('zero').oneOf(['integer', 'minimum']),
    };
  }
  return invalid(`${reader.path}.kind "${kind.slice(0, 80)}" is unknown`);
}

/** Rows by which a tensor may be split over shards. */
export function partStep(scheme: Scheme): number {
  return scheme.kind === 'bilevel' ? scheme.scaleGroupSize : 16;
}

function readTiling(reader: JsonReader): ManifestTiling {
  reader.onlyKeys(['tileSize', 'minTiles', 'maxTiles', 'useThumbnail']);
  const tiling = {
    tileSize: reader.get('tileSize').integer(1, 4096),
    minTiles: reader.get('minTiles').integer(1, 1024),
    maxTiles: reader.get('maxTiles').integer(1, 1024),
    useThumbnail: reader.get('useThumbnail').boolean(),
  };
  if (tiling.minTiles > tiling.maxTiles) invalid('tiling.minTiles exceeds tiling.maxTiles');
  return tiling;
}

function readNormalization(reader: JsonReader): PackedManifest['normalization'] {
  reader.onlyKeys(['mean', 'std']);
  const channels = (key: string): [number, number, number] => {
    const values = reader
      .get(key)
      .array(3)
      .map((value) => value.number());
    if (values.length !== 3) invalid(`normalization.${key} needs 3 numbers`);
    return [values[0], values[1], values[2]];
  };
  const std = channels('std');
  if (std.some((value) => value <= 0)) invalid('normalization.std must be positive');
  return { mean: channels('mean'), std };
}
