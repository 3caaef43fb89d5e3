import { SpeedqError } from '@speedq/format';
import { cutTiles, normalizeTiles } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { ModelMetadata } from '../../packing/metadata.ts';
import { DataProblem } from './problems.ts';

/** A picture that conversations refer to, as the vision encoder sees it. */
export interface Picture {
  readonly path: string;
  readonly tiles: number;
  readonly maxTiles: number;
  /** SHA-256 of the file, for the guard of a resumed run. */
  readonly hash: string;
}

/** Tiles as bytes are kept up to this many; beyond, pictures are decoded again when needed. */
const MEMORY_BYTES = 256 << 20;

/** The pictures of a training set, each once, cut into tiles. */
export class PictureSet {
  readonly pictures: Picture[] = [];
  private readonly indexes = new Map<string, number>();
  private readonly kept = new Map<number, Uint8Array>();
  private keptBytes = 0;

  constructor(private readonly metadata: Pick<ModelMetadata, 'tiling' | 'normalization'>) {}

  /** Its index; decoded the first time. Throws `DataProblem`. */
  async add(path: string, maxTiles: number): Promise<number> {
    const key = `${maxTiles} ${path}`;
    const known = this.indexes.get(key);
    if (known !== undefined) return known;
    const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      throw new DataProblem('missing picture', `${path} (${error.code}).`);
    });
    const tiles = await this.cut(bytes, maxTiles).catch((error: unknown) => {
      if (error instanceof SpeedqError)
        throw new DataProblem('unreadable picture', `${path}: ${error.message}`);
      throw error;
    });
    const hash = createHash('sha256').update(bytes).digest('hex');
    const index = this.pictures.push({ path, tiles: tiles.count, maxTiles, hash }) - 1;
    this.indexes.set(key, index);
    if (this.keptBytes + tiles.data.length <= MEMORY_BYTES) {
      this.kept.set(index, tiles.data);
      this.keptBytes += tiles.data.length;
    }
    return index;
  }

  /** [tiles, 3, tileSize, tileSize], normalised. */
  async pixels(index: number): Promise<Float32Array> {
    const { path, maxTiles } = this.pictures[index];
    const data = this.kept.get(index) ?? (await this.cut(await readFile(path), maxTiles)).data;
    const { tiling, normalization } = this.metadata;
    return normalizeTiles(data, tiling.tileSize, normalization.mean, normalization.std);
  }

  private async cut(bytes: Uint8Array, maxTiles: number) {
    const { tileSize, minTiles, useThumbnail } = this.metadata.tiling;
    const image = await decodeImage(bytes);
    return cutTiles(image, { tileSize, minTiles: Math.min(minTiles, maxTiles), maxTiles, useThumbnail });
  }
}
