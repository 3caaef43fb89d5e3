import { SpeedqError } from '@speedq/format';
import { checkImageSize } from './rgb-image.ts';

/** How a picture is cut: columns × rows of square tiles. */
export interface TileGrid {
  readonly columns: number;
  readonly rows: number;
}

export interface GridOptions {
  /** Side of a tile in pixels. */
  readonly tileSize: number;
  /** Fewest and most tiles, thumbnail not counted (defaults 1 and 12). */
  readonly minTiles?: number;
  readonly maxTiles?: number;
}

/** Most tiles of one picture: evaluation of documents uses up to 24; 64 tiles of 448 pixels are 154 MB of floats. */
export const MAX_TILES = 64;

/**
 * The grid whose aspect ratio is nearest to the picture's; of equal ones the larger, if the picture has more
 * than half of its pixels. `columns/rows` and width/height are compared as doubles, like the reference does.
 * @throws SpeedqError 'invalid-image', 'invalid-argument'
 */
export function chooseGrid(width: number, height: number, options: GridOptions): TileGrid {
  const { tileSize, minTiles = 1, maxTiles = 12 } = options;
  checkImageSize(width, height);
  for (const value of [tileSize, minTiles, maxTiles]) {
    if (!Number.isInteger(value) || value < 1) {
      throw new SpeedqError('invalid-argument', `Tile size and counts must be positive, got ${value}.`);
    }
  }
  if (minTiles > maxTiles || maxTiles > MAX_TILES) {
    throw new SpeedqError(
      'invalid-argument',
      `minTiles ${minTiles} to maxTiles ${maxTiles} must be an increasing range within 1 to ${MAX_TILES}.`,
    );
  }
  const ratio = width / height;
  let best: TileGrid = { columns: 1, rows: 1 };
  let bestDifference = Infinity;
  // By area, then by columns: the order decides between equally near ratios.
  for (let area = minTiles; area <= maxTiles; area++) {
    for (let columns = 1; columns <= area; columns++) {
      if (area % columns !== 0) continue;
      const rows = area / columns;
      const difference = Math.abs(ratio - columns / rows);
      const isEqualAndFilled =
        difference === bestDifference && width * height > 0.5 * tileSize * tileSize * area;
      if (difference < bestDifference || isEqualAndFilled) {
        best = { columns, rows };
        bestDifference = difference;
      }
    }
  }
  return best;
}
