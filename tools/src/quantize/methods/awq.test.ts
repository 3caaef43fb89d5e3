import { elementCount, parameterInventory, parseConfig } from '@speedq/model';
import { expect, test } from 'vitest';
import { createRandom } from '../../data/random.ts';
import { picoConfig } from '../../train/pico-config.ts';
import { blockWidths, inputRows } from '../blocks/block.ts';
import type { BlockKind } from '../blocks/block.ts';
import { BlockRunner } from '../blocks/block-runner.ts';
import { applyFold, foldsOf } from './awq.ts';

const json = picoConfig({ vocabulary: 128, imageContext: 5, messageEnd: 6, endOfText: 7 });
const config = parseConfig({
  ...json,
  image_seq_length: 4,
  vision_config: {
    ...json.vision_config,
    ...{ hidden_size: 32, intermediate_size: 48, num_hidden_layers: 2, num_attention_heads: 2 },
    image_size: [56, 56],
  },
  text_config: {
    ...json.text_config,
    ...{ hidden_size: 64, intermediate_size: 96, num_hidden_layers: 2, max_position_embeddings: 64 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2 },
  },
});

function normals(seed: number, count: number, deviation = 1): Float32Array {
  const random = createRandom(seed);
  return new Float32Array(count).map(
    () => deviation * (random.next() + random.next() + random.next() + random.next() - 2) * Math.sqrt(3),
  );
}

const parameters = new Map(
  parameterInventory(config).map(({ name, shape, role }, i) => {
    const values = normals(i, elementCount(shape), 1 / Math.sqrt(elementCount(shape.slice(1))));
    return [name, role === 'norm' || role === 'layer-scale' ? values.map((v) => 1 + 0.1 * v) : values];
  }),
);

test.each<BlockKind>(['vision', 'projector', 'language'])(
  'scales folded into a %s block leave what it computes',
  async (kind) => {
    const block = { kind, layer: kind === 'projector' ? 0 : 1 };
    const runner = await BlockRunner.create(config, kind, 1);
    const rows =
      kind === 'language' ? 11 : (inputRows(config, kind, { items: 1, length: 'length' }) as number);
    const x = normals(500, rows * blockWidths(config, kind).input);
    const before = await runner.forward(block, parameters, x);
    const folds = foldsOf(config, block);
    expect(folds.length).toBe({ vision: 3, projector: 1, language: 4 }[kind]);
    for (const [index, fold] of folds.entries()) {
      const columns = parameters.get(fold.consumers[0])!.length;
      const rowsOut = parameterInventory(config).find(({ name }) => name === fold.consumers[0])!.shape[0];
      const width = columns / rowsOut;
      const drawn = normals(600 + index, width);
      const scales = new Float64Array(width).map((_, j) => Math.exp(drawn[fold.makerRow?.(j) ?? j]));
      const folded = new Map([...parameters, ...applyFold(parameters, fold, scales)]);
      for (const name of [...fold.consumers, ...fold.makers]) {
        expect(folded.get(name), name).not.toEqual(parameters.get(name));
      }
      const after = await runner.forward(block, folded, x);
      let [error, size] = [0, 0];
      after.forEach((value, i) => {
        error += (value - before[i]) ** 2;
        size += before[i] ** 2;
      });
      expect(error / size, fold.consumers[0]).toBeLessThan(1e-9);
    }
    await runner.release();
  },
);
