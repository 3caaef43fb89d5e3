import { parseSafetensors, requireTensor, tensorBytes, tensorToFloats } from '@speedq/format';
import { chooseGrid, cutTiles, preprocessImage } from '@speedq/processor';
import { describe, expect, test } from 'vitest';
import { goldenCases, readGolden } from './folder.ts';

/** Files are told apart by extension: grid tables are JSON, pictures with their tiles are safetensors. */
const folder = 'preprocess';

describe.each(goldenCases(folder, '.json'))('grids of %s', (name) => {
  const table = JSON.parse(new TextDecoder().decode(readGolden(folder, `${name}.json`))) as {
    columns: string[];
    image_size: number;
    min_num: number;
    rows: number[][];
  };

  test('are chosen as the reference chooses them', () => {
    const at = (key: string): number => table.columns.indexOf(key);
    expect(table.rows.length).toBeGreaterThan(0);
    for (const row of table.rows) {
      const [width, height, maxTiles] = [row[at('width')], row[at('height')], row[at('max_num')]];
      const grid = chooseGrid(width, height, {
        tileSize: table.image_size,
        minTiles: table.min_num,
        maxTiles,
      });
      expect({ width, height, maxTiles, ...grid }).toEqual({
        width,
        height,
        maxTiles,
        columns: row[at('grid_cols')],
        rows: row[at('grid_rows')],
      });
    }
  });
});

describe.each(goldenCases(folder, '.safetensors'))('pictures of %s', (name) => {
  const bytes = readGolden(folder, `${name}.safetensors`);
  const header = parseSafetensors(bytes, name);
  const maxTiles = header.metadata.get('max_num')!.split(',').map(Number);
  const cases = [...header.tensors.keys()].filter((key) => key.endsWith('.image'));

  test('there is one limit per picture', () => {
    expect(cases.length).toBeGreaterThan(0);
    expect(maxTiles.length).toBe(cases.length);
  });

  test.each(cases.map((key) => key.slice(0, -'.image'.length)))('%s', (key) => {
    const tensor = (part: string) => requireTensor(header, `${key}.${part}`, name);
    const [height, width] = tensor('image').shape;
    const image = { width, height, data: Uint8Array.from(tensorBytes(bytes, tensor('image'))) };
    const options = {
      tileSize: Number(header.metadata.get('image_size')),
      minTiles: Number(header.metadata.get('min_num')),
      maxTiles: maxTiles[Number(key.slice('case'.length))],
      useThumbnail: header.metadata.get('use_thumbnail') === 'true',
    };
    const tiles = cutTiles(image, options);
    expect(tiles.count).toBe(tensor('tiles').shape[0]);
    expect(Buffer.compare(tiles.data, tensorBytes(bytes, tensor('tiles')))).toBe(0);

    if (!header.tensors.has(`${key}.pixel_values`)) return;
    const info = tensor('pixel_values');
    const expected = tensorToFloats(tensorBytes(bytes, info), info.dtype);
    const { pixelValues } = preprocessImage(image, options);
    expect(pixelValues.length).toBe(expected.length);
    const worst = pixelValues.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
    expect(worst).toBeLessThanOrEqual(1e-6);
  });
});
