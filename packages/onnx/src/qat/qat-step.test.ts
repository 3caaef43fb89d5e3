import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { BILEVEL_2BIT_G16, BILEVEL_4BIT_G32_QQ16, roundToHalf } from '@speedq/format';
import { EMBEDDING, HEAD, elementCount, parameterInventory, parseConfig } from '@speedq/model';
import { hostMemory } from '../memory.ts';
import { randomNormals } from '../testing/random.ts';
import { VisionForward } from '../vision-forward.ts';
import { answerRows } from './answer-rows.ts';
import { createQatStep } from './create-step.ts';
import { attentionMask } from './language-inputs.ts';
import type { QatInputs, QatStepOptions } from './options.ts';
import { TeacherForward } from './teacher.ts';

const VOCABULARY = 50;
const BATCH = 2;
const LENGTH = 13;
const TILES = 3;

const config = parseConfig({
  model_type: 'internvl',
  downsample_ratio: 0.5,
  image_seq_length: 4,
  image_token_id: 7,
  text_config: {
    model_type: 'qwen2',
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    vocab_size: VOCABULARY,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
  },
  vision_config: {
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    image_size: [56, 56],
    patch_size: [14, 14],
    attention_bias: true,
  },
});

const parameters = new Map(
  parameterInventory(config).map(({ name, shape, role }, i) => {
    const values = randomNormals(elementCount(shape), i + 1);
    return [name, values.map((value) => (role === 'norm' ? 1 : 0) + 0.2 * value)];
  }),
);
const rows = BATCH * LENGTH;
// A picture, two conversations about it and padding; then text alone.
const segments = [0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1, ...new Array<number>(LENGTH).fill(0)];
const teacherParameters = new Map(
  [...parameters].map(([name, data], i) => [name, data.map((v) => v * (1 + i / 999))]),
);

function inputsFor({ tiles, answers, loss }: Pick<QatStepOptions, 'tiles' | 'answers' | 'loss'>): QatInputs {
  const labels = segments.map((segment, i) => (segment > 0 || i >= LENGTH + 5 ? (i * 7) % VOCABULARY : -100));
  return {
    inputIds: BigInt64Array.from({ length: rows }, (_, i) => BigInt((i * 11) % VOCABULARY)),
    positions: Array.from({ length: rows }, (_, i) => i % LENGTH),
    mask: attentionMask(segments, BATCH, LENGTH),
    ...(tiles > 0 && {
      visionFeatures: randomNormals(tiles * 17 * 16, 70),
      imageIndex: BigInt64Array.from({ length: rows }, (_, i) => BigInt(i < 4 ? 2 * i : 0)),
      imageMask: Float32Array.from({ length: rows }, (_, i) => Number(i < 4)),
    }),
    ...answerRows(labels, { batch: BATCH, length: LENGTH, answers }),
    gamma: 0.3,
    ...(loss.teacher
      ? { teacherRows: randomNormals(answers * 32, 71), teacherParameters }
      : { teacherLogits: randomNormals(answers * VOCABULARY, 72) }),
  };
}

const base: Omit<QatStepOptions, 'partition'> = {
  batch: BATCH,
  length: LENGTH,
  tiles: TILES,
  answers: 20,
  threads: 1,
  scheme: (name) => (name.includes('.layers.') ? BILEVEL_2BIT_G16 : undefined),
  trains: (name) => !name.startsWith('vision_tower.') && name !== EMBEDDING && name !== HEAD,
  loss: { ceWeight: 1, kdWeight: 0.5, labelSmoothing: 0.1 },
  rowsPerChunk: 7,
};

const mixed: QatStepOptions['scheme'] = (name) => {
  if (!name.includes('.layers.')) return undefined;
  // The 48 inputs of down_proj are no multiple of 32.
  const fine = name.includes('.layers.1.') && !name.includes('down_proj');
  return fine ? BILEVEL_4BIT_G32_QQ16 : BILEVEL_2BIT_G16;
};

const variants: Record<string, Partial<QatStepOptions>> = {
  'everything but the tables': {},
  'the tables too, teacher by rows': {
    trains: (name) => !name.startsWith('vision_tower.'),
    loss: { ...base.loss, teacher: { config } },
  },
  'the projector alone, float, cross-entropy alone': {
    scheme: undefined,
    trains: (name) => name.startsWith('multi_modal_projector.'),
    loss: { ceWeight: 2, kdWeight: 0, labelSmoothing: 0 },
  },
  'the middle layer alone': { trains: (name) => name.includes('.layers.1.') },
  'layers of different schemes, distillation alone': {
    scheme: mixed,
    loss: { ...base.loss, ceWeight: 0 },
  },
  'no picture': { tiles: 0 },
  'a balance of each row': { loss: { ...base.loss, ceWeight: 0 } },
};
describe.each(Object.entries(variants))('QAT step, %s', (name, variant) => {
  it('gives the same numbers block by block as in one graph', async () => {
    const options = { ...base, ...variant };
    const perRow = Float32Array.from({ length: base.answers }, (_, i) => i / base.answers);
    const inputs = { ...inputsFor(options), gamma: name === 'a balance of each row' ? perRow : 0.3 };
    const whole = await createQatStep(ort, config, { ...options, partition: 'whole' });
    const block = await createQatStep(ort, config, { ...options, partition: 'block' });
    const expected = await whole.run(parameters, inputs);
    await block.run(parameters, { ...inputs, selected: inputs.selected.map(() => 3n) });
    // The second run must not see what the first left in its buffers.
    const actual = await block.run(parameters, inputs);
    const { ce, kd, total } = actual.losses;
    expect(total).toBeCloseTo(options.loss.ceWeight * ce + options.loss.kdWeight * kd, 5);
    expect(ce).toBeCloseTo(expected.losses.ce, 5);
    expect(kd).toBeCloseTo(expected.losses.kd, 5);
    expect([...block.trained].sort()).toEqual([...whole.trained].sort());
    const reached = [...parameters.keys()].filter((name) => options.trains(name));
    const wanted =
      options.tiles > 0 ? reached : reached.filter((name) => !name.startsWith('multi_modal_projector.'));
    expect([...whole.trained].sort()).toEqual(wanted.sort());
    for (const [name, gradient] of expected.gradients) {
      const other = actual.gradients.get(name)!;
      let difference = 0;
      let square = 0;
      gradient.forEach((value, i) => {
        difference += (value - other[i]) ** 2;
        square += value ** 2;
      });
      expect(square, name).toBeGreaterThan(0);
      expect(Math.sqrt(difference / square), name).toBeLessThan(1e-5);
    }
    await whole.release();
    await block.release();
  });
});

describe('QAT step', () => {
  it('sees in its loss what its gradient says', async () => {
    const options = { ...base, scheme: undefined };
    const inputs = inputsFor(options);
    const step = await createQatStep(ort, config, { ...options, partition: 'block' });
    const { gradients } = await step.run(parameters, inputs);
    const slope = new Map([...gradients].map(([name, gradient]) => [name, gradient.slice()]));
    const size = Math.sqrt([...slope.values()].reduce((sum, g) => sum + g.reduce((s, v) => s + v * v, 0), 0));
    // Along the gradient itself the loss changes by its norm.
    const at = async (distance: number) => {
      const moved = new Map(parameters);
      for (const [name, gradient] of slope) {
        moved.set(
          name,
          parameters.get(name)!.map((value, i) => value + (distance / size) * gradient[i]),
        );
      }
      return (await step.run(moved, inputs)).losses.total;
    };
    const numeric = ((await at(0.01)) - (await at(-0.01))) / 0.02;
    expect(numeric / size).toBeCloseTo(1, 2);
    await step.release();
  });

  it('distils each row by its own balance: a row at 1 as with 1 for all', async () => {
    const step = await createQatStep(ort, config, { ...base, partition: 'whole' });
    const inputs = inputsFor(base);
    const kdOf = async (gamma: number | Float32Array, only: number) => {
      const kdWeights = inputs.weights.map((_, i) => (i === only ? 1 : 0));
      return (await step.run(parameters, { ...inputs, kdWeights, gamma })).losses.kd;
    };
    const gamma = Float32Array.from({ length: base.answers }, (_, i) => (i === 2 ? 1 : 0.25));
    expect(await kdOf(gamma, 2)).toBe(await kdOf(1, 2));
    expect(await kdOf(gamma, 3)).toBe(await kdOf(0.25, 3));
    expect(await kdOf(1, 2)).not.toBeCloseTo(await kdOf(0.25, 2), 3);
    await expect(step.run(parameters, { ...inputs, gamma: gamma.subarray(1) })).rejects.toThrow(/gamma/);
    await step.release();
  });

  it('refuses inputs of other sizes', async () => {
    const step = await createQatStep(ort, config, { ...base, partition: 'whole' });
    const inputs = inputsFor(base);
    await expect(step.run(parameters, { ...inputs, targets: inputs.targets.subarray(1) })).rejects.toThrow(
      /targets/,
    );
    await expect(step.run(parameters, { ...inputs, gamma: undefined })).rejects.toThrow(/gamma/);
    await expect(step.run(new Map(), inputs)).rejects.toThrow(/lacks the tensor/);
    await step.release();
  });
});

describe('TeacherForward', () => {
  it('gives the same rows, logits and probabilities in both partitions, and softmax of its logits', async () => {
    const inputs = inputsFor(base);
    const selected = BigInt64Array.of(0n, 4n, 4n, 25n, 12n);
    const shape = { batch: BATCH, length: LENGTH, tiles: TILES, threads: 1 };
    const results = [];
    for (const partition of ['whole', 'block'] as const) {
      const teacher = await TeacherForward.create(ort, config, { ...shape, partition, rowsPerChunk: 2 });
      results.push(await teacher.run(parameters, inputs, selected));
      await teacher.release();
    }
    const [whole, block] = results;
    block.rows.forEach((value, i) => expect(value).toBeCloseTo(whole.rows[i], 5));
    block.logits!.forEach((value, i) => expect(value).toBeCloseTo(whole.logits![i], 5));
    selected.forEach((_, i) => {
      const logits = Array.from(whole.logits!.subarray(i * VOCABULARY, (i + 1) * VOCABULARY));
      const max = Math.max(...logits);
      const top = 1 / logits.reduce((sum, value) => sum + Math.exp(value - max), 0);
      expect(whole.topProbability[i]).toBeCloseTo(top, 6);
      expect(block.topProbability[i]).toBeCloseTo(top, 5);
    });
  });
});

describe('weights that do not train, kept in float16', () => {
  const tensors = parameterInventory(config).map(
    ({ name, shape }) => [name, new ort.Tensor('float32', teacherParameters.get(name)!, shape)] as const,
  );
  const rounded = new Map([...teacherParameters].map(([name, data]) => [name, data.map(roundToHalf)]));
  const shape = { batch: BATCH, length: LENGTH, tiles: TILES, threads: 1 };
  const storage = 'float16';

  it('are what a teacher and an encoder of rounded weights compute with', async () => {
    const stored = await hostMemory(ort).upload(new Map(tensors), storage);
    expect(stored.get(HEAD)!.type).toBe(storage);
    const selected = BigInt64Array.of(0n, 4n, 25n);
    const inputs = inputsFor(base);
    for (const partition of ['whole', 'block'] as const) {
      const half = await TeacherForward.create(ort, config, { ...shape, partition, storage });
      const full = await TeacherForward.create(ort, config, { ...shape, partition });
      expect(await half.run(stored, inputs, selected)).toEqual(await full.run(rounded, inputs, selected));
      await half.release();
      await full.release();
    }
    const pixels = randomNormals(2 * 3 * 56 * 56, 73);
    const half = await VisionForward.create(ort, config, { threads: 1, storage });
    const full = await VisionForward.create(ort, config, { threads: 1 });
    expect(await half.run(stored, pixels, 2)).toEqual(await full.run(rounded, pixels, 2));
    await half.release();
    await full.release();
  });

  it('are what the loss distils from', async () => {
    const inputs = inputsFor({ ...base, loss: { ...base.loss, teacher: { config } } });
    const stored = await hostMemory(ort).upload(new Map(tensors), storage);
    const run = async (storage: 'float16' | 'float32', teacherParameters: QatInputs['teacherParameters']) => {
      const loss = { ...base.loss, teacher: { config, storage } };
      const step = await createQatStep(ort, config, { ...base, partition: 'block', loss });
      const { losses } = await step.run(parameters, { ...inputs, teacherParameters });
      await step.release();
      return losses;
    };
    expect(await run('float16', stored)).toEqual(await run('float32', rounded));
  });
});
