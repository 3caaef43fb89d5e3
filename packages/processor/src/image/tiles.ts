import { SpeedqError } from '@speedq/format';
import { chooseGrid } from './grid.ts';
import type { GridOptions, TileGrid } from './grid.ts';
import { resizeBicubic } from './resize.ts';
import { checkRgbImage } from './rgb-image.ts';
import type { RgbImage } from './rgb-image.ts';

export interface TilingOptions extends GridOptions {
  /** Append the whole picture as one more tile when there are several (default true). */
  readonly useThumbnail?: boolean;
}

export interface PreprocessOptions extends TilingOptions {
  /** Per RGB channel, for values scaled to 0–1 (defaults: ImageNet). */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}

export interface ImageTiles {
  readonly grid: TileGrid;
  /** Tiles, thumbnail included. */
  readonly count: number;
  /** count × tileSize × tileSize × 3 bytes; row by row, the thumbnail last. */
  readonly data: Uint8Array;
}

export interface PreprocessedImage {
  readonly grid: TileGrid;
  /** Tiles, thumbnail included: what the chat template's image part takes. */
  readonly tiles: number;
  /** [tiles, 3, tileSize, tileSize], normalised: the vision encoder's input. */
  readonly pixelValues: Float32Array;
}

/** Mean and standard deviation of ImageNet's colours, used by all InternVL3 models. */
export const IMAGENET_MEAN: readonly number[] = [0.485, 0.456, 0.406];
export const IMAGENET_STD: readonly number[] = [0.229, 0.224, 0.225];

/** Tiles of a picture of this size, thumbnail included; costs nothing, so a prompt can be measured beforehand. */
export function countTiles(width: number, height: number, options: TilingOptions): number {
  const { columns, rows } = chooseGrid(width, height, options);
  const tiles = columns * rows;
  return tiles > 1 && (options.useThumbnail ?? true) ? tiles + 1 : tiles;
}

/**
 * Resizes the picture to its grid and cuts it, row by row; the thumbnail is resized from the original.
 * @throws SpeedqError 'invalid-image', 'invalid-argument'
 */
export function cutTiles(image: RgbImage, options: TilingOptions): ImageTiles {
  checkRgbImage(image);
  const { tileSize } = options;
  const grid = chooseGrid(image.width, image.height, options);
  const count = countTiles(image.width, image.height, options);
  const rowBytes = tileSize * 3;
  const tileBytes = tileSize * rowBytes;
  const data = new Uint8Array(count * tileBytes);
  const canvas = resizeBicubic(image, grid.columns * tileSize, grid.rows * tileSize);
  for (let y = 0; y < canvas.height; y++) {
    for (let column = 0; column < grid.columns; column++) {
      const tile = Math.floor(y / tileSize) * grid.columns + column;
      const from = (y * grid.columns + column) * rowBytes;
      data.set(canvas.data.subarray(from, from + rowBytes), tile * tileBytes + (y % tileSize) * rowBytes);
    }
  }
  if (count > grid.columns * grid.rows) {
    data.set(resizeBicubic(image, tileSize, tileSize).data, (count - 1) * tileBytes);
  }
  return { grid, count, data };
}

/**
 * (value / 255 − mean) / std, from interleaved bytes to planes.
 * @param data count × tileSize × tileSize × 3
 * @returns [count, 3, tileSize, tileSize]
 */
export function normalizeTiles(
  data: Uint8Array,
  tileSize: number,
  mean: readonly number[] = IMAGENET_MEAN,
  std: readonly number[] = IMAGENET_STD,
): Float32Array {
  if (mean.length !== 3 || std.length !== 3 || !std.every((value) => value > 0)) {
    throw new SpeedqError(
      'invalid-argument',
      `mean and std need 3 numbers, std above 0, got [${mean.join(', ')}] and [${std.join(', ')}].`,
    );
  }
  const plane = tileSize * tileSize;
  const table = new Float32Array(3 * 256);
  for (let i = 0; i < table.length; i++) {
    const channel = i >> 8;
    table[i] = ((i & 255) / 255 - mean[channel]) / std[channel];
  }
  const values = new Float32Array(data.length);
  for (let tile = 0; tile < data.length; tile += plane * 3) {
    for (let i = 0, from = tile; i < plane; i++, from += 3) {
      values[tile + i] = table[data[from]];
      values[tile + plane + i] = table[256 + data[from + 1]];
      values[tile + 2 * plane + i] = table[512 + data[from + 2]];
    }
  }
  return values;
}

/**
 * Picture → the vision encoder's input, exactly as the reference's Pillow pipeline gives it.
 * @throws SpeedqError 'invalid-image', 'invalid-argument'
 */
export function preprocessImage(image: RgbImage, options: PreprocessOptions): PreprocessedImage {
  const { grid, count, data } = cutTiles(image, options);
  const pixelValues = normalizeTiles(data, options.tileSize, options.mean, options.std);
  return { grid, tiles: count, pixelValues };
}
