import { elementCount, parameterInventory, parseConfig } from '@speedq/model';
import { expect, test } from 'vitest';
import { createRandom } from '../data/random.ts';
import { picoConfig } from '../train/pico-config.ts';
import { BlockRunner } from './blocks/block-runner.ts';
import { tileTokens } from './blocks/block.ts';
import { ProjectorStep } from './projector-step.ts';

const json = picoConfig({ vocabulary: 128, imageContext: 5, messageEnd: 6, endOfText: 7 });
const config = parseConfig({
  ...json,
  image_seq_length: 4,
  vision_config: {
    ...json.vision_config,
    ...{ hidden_size: 32, intermediate_size: 48, num_hidden_layers: 1, num_attention_heads: 2 },
    image_size: [56, 56],
  },
});

const random = createRandom(8);
const noise = (count: number, spread: number) =>
  Float32Array.from({ length: count }, () => spread * (random.next() - 0.5));
const modelOf = (spread: number) =>
  new Map(
    parameterInventory(config)
      .filter(({ part }) => part === 'projector')
      .map(({ name, shape, role }) => [
        name,
        noise(elementCount(shape), spread).map((value) => (role === 'norm' ? 1 : 0) + value),
      ]),
  );

test('features: the projector’s distance to the original behind the original encoder, and its slope', async () => {
  const [student, original] = [modelOf(0.3), modelOf(0.3)];
  const size = tileTokens(config) * config.vision.hiddenSize;
  const features = { student: noise(2 * size, 3), original: noise(2 * size, 3) };
  const step = await ProjectorStep.create(config, 2, 1);
  const lossOf = (parameters: ReadonlyMap<string, Float32Array>) =>
    step.run(
      { parameters, features: features.student },
      { parameters: original, features: features.original },
    );
  const loss = await lossOf(student);

  // Tile by tile through the graph that blocks run in.
  const runner = await BlockRunner.create(config, 'projector', 1);
  let [difference, square] = [0, 0];
  for (const tile of [0, size]) {
    const through = (parameters: ReadonlyMap<string, Float32Array>, values: Float32Array) =>
      runner.forward({ kind: 'projector', layer: 0 }, parameters, values.subarray(tile, tile + size));
    const wanted = await through(original, features.original);
    const found = await through(student, features.student);
    wanted.forEach((value, i) => {
      difference += (found[i] - value) ** 2;
      square += value ** 2;
    });
  }
  await runner.release();
  expect(Math.abs(loss / (difference / square) - 1)).toBeLessThan(1e-5);

  // Along the gradient the loss changes by its norm.
  const slope = new Map(
    [...step.gradients].map(([name, { data }]) => [name, (data as Float32Array).slice()]),
  );
  const norm = Math.sqrt(
    [...slope.values()].flatMap((g) => [...g]).reduce((sum, value) => sum + value ** 2, 0),
  );
  const moved = (distance: number) =>
    new Map(
      [...student].map(([name, values]) => [
        name,
        values.map((value, i) => value + (distance / norm) * slope.get(name)![i]),
      ]),
    );
  const numeric = ((await lossOf(moved(0.01))) - (await lossOf(moved(-0.01)))) / 0.02;
  expect(numeric / norm).toBeCloseTo(1, 2);
  await step.release();
});
