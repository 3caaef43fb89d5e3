import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { chooseGrid } from './grid.ts';

// Computed with the reference's own function (tile 448): [width, height], grid for at most 6, for at most 12.
test.each([
  [
    [448, 448],
    [1, 1],
    [1, 1],
  ],
  [
    [640, 480],
    [3, 2],
    [4, 3],
  ],
  [
    [800, 600],
    [3, 2],
    [4, 3],
  ],
  [
    [1920, 1080],
    [2, 1],
    [4, 2],
  ],
  [
    [896, 896],
    [2, 2],
    [2, 2],
  ],
  [
    [1000, 1000],
    [2, 2],
    [3, 3],
  ],
  [
    [500, 1500],
    [1, 3],
    [1, 3],
  ],
  [
    [3000, 1000],
    [3, 1],
    [6, 2],
  ],
  [
    [4000, 300],
    [6, 1],
    [12, 1],
  ],
])('%j → %j, %j', ([width, height], six, twelve) => {
  const grid = (maxTiles: number): number[] => {
    const { columns, rows } = chooseGrid(width, height, { tileSize: 448, maxTiles });
    return [columns, rows];
  };
  expect([grid(6), grid(12)]).toEqual([six, twelve]);
});

test('no allowed grid has a nearer aspect ratio', () => {
  const side = fc.integer({ min: 1, max: 5000 });
  fc.assert(
    fc.property(side, side, fc.integer({ min: 1, max: 24 }), (width, height, maxTiles) => {
      const { columns, rows } = chooseGrid(width, height, { tileSize: 448, maxTiles });
      expect(columns * rows).toBeLessThanOrEqual(maxTiles);
      const difference = Math.abs(width / height - columns / rows);
      for (let c = 1; c <= maxTiles; c++) {
        for (let r = 1; c * r <= maxTiles; r++) {
          expect(Math.abs(width / height - c / r)).toBeGreaterThanOrEqual(difference);
        }
      }
    }),
  );
});

test('the least number of tiles is kept', () => {
  const { columns, rows } = chooseGrid(500, 500, { tileSize: 448, minTiles: 4, maxTiles: 6 });
  expect([columns, rows]).toEqual([2, 2]);
});

test.each([
  [{ tileSize: 0 }],
  [{ tileSize: 448, maxTiles: 0 }],
  [{ tileSize: 448, minTiles: 5, maxTiles: 4 }],
  [{ tileSize: 448, maxTiles: 1000 }],
])('refuses %j', (options) => {
  expect(() => chooseGrid(10, 10, options)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});
