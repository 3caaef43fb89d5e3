import { SpeedqError } from '@speedq/format';
import { cutTiles, normalizeTiles } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hashText } from '../../data/random.ts';
import type { ModelMetadata } from '../../packing/metadata.ts';
import { compressTiles } from './augment.ts';
import { DataProblem } from './problems.ts';

/** A picture that conversations refer to, as the vision encoder sees it. */
export interface Picture {
  readonly path: string;
  readonly tiles: number;
  readonly maxTiles: number;
  /** SHA-256 of the file, for the guard of a resumed run. */
  readonly hash: string;
  /** Its tiles are compressed; a number tells apart uses of the same picture. */
  readonly augmentation?: number;
}

/** Tiles as bytes are kept up to this many; beyond, pictures are decoded again when needed. */
const MEMORY_BYTES = 256 << 20;

/** The pictures of a training set, each once, cut into tiles. */
export class PictureSet {
  readonly pictures: Picture[] = [];
  private readonly indexes = new Map<string, number>();
  private readonly kept = new Map<number, Uint8Array>();
  private keptBytes = 0;

  constructor(
    private readonly metadata: Pick<ModelMetadata, 'tiling' | 'normalization'>,
    private readonly seed: number,
  ) {}

  /** Its index; decoded the first time. Throws `DataProblem`. */
  async add(path: string, maxTiles: number, augmentation?: number): Promise<number> {
    const key = `${maxTiles} ${augmentation} ${path}`;
    const known = this.indexes.get(key);
    if (known !== undefined) return known;
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      throw new DataProblem('missing picture', `${path} (${error.code}).`);
    });
    const hash = createHash('sha256').update(bytes).digest('hex');
    const cut = this.cut(bytes, { maxTiles, augmentation, hash });
    const tiles = await cut.catch((error: unknown) => {
      if (error instanceof SpeedqError)
        throw new DataProblem('unreadable picture', `${path}: ${error.message}`);
      throw error;
    });
    const index = this.pictures.push({ path, tiles: tiles.count, maxTiles, hash, augmentation }) - 1;
    this.indexes.set(key, index);
    if (this.keptBytes + tiles.data.length <= MEMORY_BYTES) {
      this.kept.set(index, tiles.data);
      this.keptBytes += tiles.data.length;
    }
    return index;
  }

  /** [tiles, 3, tileSize, tileSize], normalised. */
  async pixels(index: number): Promise<Float32Array> {
    const picture = this.pictures[index];
    const data = this.kept.get(index) ?? (await this.cut(await readFile(picture.path), picture)).data;
    const { tiling, normalization } = this.metadata;
    return normalizeTiles(data, tiling.tileSize, normalization.mean, normalization.std);
  }

  private async cut(
    bytes: Uint8Array,
    { maxTiles, augmentation, hash }: Pick<Picture, 'maxTiles' | 'augmentation' | 'hash'>,
  ) {
    const { tileSize, minTiles, useThumbnail } = this.metadata.tiling;
    const image = await decodeImage(bytes);
    const options = { tileSize, minTiles: Math.min(minTiles, maxTiles), maxTiles, useThumbnail };
    const { count, data } = cutTiles(image, options);
    if (augmentation === undefined) return { count, data };
    const seed = [this.seed, hashText(hash), augmentation];
    return { count, data: await compressTiles(data, tileSize, seed) };
  }
}
