import ort from 'onnxruntime-node';
import { expect, it } from 'vitest';
import { BILEVEL_2BIT_G16 } from '@speedq/format';
import { EMBEDDING, HEAD, elementCount, parameterInventory, parseConfig } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { randomNormals } from '../testing/random.ts';
import { answerRows } from './answer-rows.ts';
import { createQatStep } from './create-step.ts';
import { attentionMask } from './language-inputs.ts';
import type { LanguageInputs, Partition, QatInputs, QatLoss } from './options.ts';
import { TeacherForward, meanTopProbability } from './teacher.ts';

/** Two models of a vocabulary that have nothing else in common. */

const VOCABULARY = 50;
const FINAL_NORM = 'language_model.model.norm.weight';
const IMAGE = 7;

function configOf(size: {
  readonly width: number;
  readonly layers: number;
  readonly visionWidth: number;
  /** Pixels of a tile's side; a visual token covers 28 × 28. */
  readonly side: number;
  readonly vocabulary?: number;
}): InternVLConfig {
  return parseConfig({
    model_type: 'internvl',
    downsample_ratio: 0.5,
    image_seq_length: (size.side / 28) ** 2,
    image_token_id: IMAGE,
    text_config: {
      ...{ model_type: 'qwen2', hidden_size: size.width, intermediate_size: 2 * size.width },
      ...{ num_hidden_layers: size.layers, num_attention_heads: 4, num_key_value_heads: 2 },
      ...{ vocab_size: size.vocabulary ?? VOCABULARY, max_position_embeddings: 64 },
      ...{ rms_norm_eps: 1e-6, rope_theta: 1e6 },
    },
    vision_config: {
      ...{ hidden_size: size.visionWidth, intermediate_size: 32, num_hidden_layers: 1 },
      ...{ num_attention_heads: 2, image_size: [size.side, size.side], patch_size: [14, 14] },
      attention_bias: true,
    },
  });
}

const randomModel = (config: InternVLConfig, seed: number, spread: number) =>
  new Map(
    parameterInventory(config).map(({ name, shape, role }, i) => {
      const values = randomNormals(elementCount(shape), seed + i);
      return [name, values.map((value) => (role === 'norm' ? 1 : 0) + spread * value)];
    }),
  );

const student = configOf({ width: 32, layers: 2, visionWidth: 16, side: 56 });
const teacher = configOf({ width: 48, layers: 4, visionWidth: 24, side: 84 });
const studentParameters = randomModel(student, 1, 0.2);
const teacherParameters = randomModel(teacher, 500, 0.15);

/** The same text behind as many visual tokens as the model makes of one tile. */
function conversation(config: InternVLConfig): { inputs: LanguageInputs; labels: number[] } {
  const picture = new Array<number>(config.tokensPerTile).fill(IMAGE);
  const text = [11, 12, 13, 30, 31, 32, 33];
  const ids = [3, ...picture, ...text];
  const length = ids.length;
  return {
    labels: ids.map((id) => (id >= 30 ? id : -100)),
    inputs: {
      inputIds: BigInt64Array.from(ids, BigInt),
      positions: ids.map((_, i) => i),
      mask: attentionMask(new Int32Array(length), 1, length),
      visionFeatures: randomNormals((1 + 4 * config.tokensPerTile) * config.vision.hiddenSize, 90),
      imageIndex: BigInt64Array.from(ids, (id, i) => (id === IMAGE ? BigInt(i - 1) : 0n)),
      imageMask: Float32Array.from(ids, (id) => Number(id === IMAGE)),
    },
  };
}

async function answersOf(
  config: InternVLConfig,
  parameters: ReadonlyMap<string, Float32Array>,
  scheme?: typeof BILEVEL_2BIT_G16,
) {
  const { inputs, labels } = conversation(config);
  const shape = { batch: 1, length: labels.length, tiles: 1, threads: 1 } as const;
  const { selected } = answerRows(labels, { batch: 1, length: labels.length });
  const model = await TeacherForward.create(ort, config, {
    ...{ ...shape, partition: 'whole' },
    scheme: (name) => (name.includes('.layers.') ? scheme : undefined),
  });
  const result = await model.run(parameters, inputs, selected);
  await model.release();
  return { ...result, selected };
}

/** Norm and head of a row in float64, from their definitions: RMSNorm, then a product with each token's row. */
function logits64(config: InternVLConfig, parameters: ReadonlyMap<string, Float32Array>, row: Float32Array) {
  const { hiddenSize, vocabSize, rmsNormEps } = config.language;
  const [norm, head] = [parameters.get(FINAL_NORM)!, parameters.get(HEAD)!];
  const mean = row.reduce((sum, value) => sum + value * value, 0) / hiddenSize;
  const x = Array.from(row, (value, i) => (value / Math.sqrt(mean + rmsNormEps)) * norm[i]);
  return Array.from({ length: vocabSize }, (_, token) =>
    x.reduce((sum, value, i) => sum + value * head[token * hiddenSize + i], 0),
  );
}

function softmax64(logits: ArrayLike<number>): number[] {
  const largest = Math.max(...Array.from(logits));
  const powers = Array.from(logits, (value) => Math.exp(value - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((value) => value / sum);
}

const divergence64 = (p: readonly number[], q: readonly number[]) =>
  p.reduce((sum, value, i) => sum + value * Math.log(value / q[i]), 0);

it.each<Partition>(['whole', 'block'])(
  'a wider, deeper teacher with more visual tokens distils as float64 says, partition %s',
  async (partition) => {
    const wanted = await answersOf(teacher, teacherParameters);
    const own = await answersOf(student, studentParameters, BILEVEL_2BIT_G16);
    const answers = own.selected.length;
    expect(wanted.selected.length).toBe(answers);
    expect(wanted.selected[0] - own.selected[0]).toBe(BigInt(teacher.tokensPerTile - student.tokensPerTile));

    const width = teacher.language.hiddenSize;
    const ofTeacher = Array.from({ length: answers }, (_, i) =>
      logits64(teacher, teacherParameters, wanted.rows.subarray(i * width, (i + 1) * width)),
    );
    const gamma = meanTopProbability(wanted.topProbability);
    const tops = ofTeacher.map((logits) => Math.max(...softmax64(logits)));
    expect(gamma).toBeCloseTo(tops.reduce((a, b) => a + b, 0) / answers, 5);
    let expected = 0;
    ofTeacher.forEach((logits, i) => {
      const t = softmax64(logits);
      const s = softmax64(own.logits!.subarray(i * VOCABULARY, (i + 1) * VOCABULARY));
      expected += (gamma * divergence64(s, t) + (1 - gamma) * divergence64(t, s)) / answers;
    });
    expect(expected).toBeGreaterThan(0.1);

    const { inputs, labels } = conversation(student);
    const rows = answerRows(labels, { batch: 1, length: labels.length });
    const run = async (loss: QatLoss, given: Partial<QatInputs>) => {
      const step = await createQatStep(ort, student, {
        ...{ batch: 1, length: labels.length, tiles: 1, answers, partition, threads: 1, rowsPerChunk: 3 },
        scheme: (name) => (name.includes('.layers.') ? BILEVEL_2BIT_G16 : undefined),
        trains: (name) => !name.startsWith('vision_tower.') && name !== EMBEDDING,
        loss,
      });
      const result = await step.run(studentParameters, { ...inputs, ...rows, gamma, ...given });
      await step.release();
      return result;
    };
    const loss = { ceWeight: 0, kdWeight: 1, labelSmoothing: 0 };
    const byRows = await run(
      { ...loss, teacher: { config: teacher } },
      { teacherRows: wanted.rows, teacherParameters },
    );
    expect(Math.abs(byRows.losses.kd / expected - 1)).toBeLessThan(1e-5);

    // Its gradients are those of the logits in float64, whose gradients the goldens know (tests/golden/stage3).
    const byLogits = await run(loss, { teacherLogits: Float32Array.from(ofTeacher.flat()) });
    expect([...byRows.gradients.keys()].sort()).toEqual([...byLogits.gradients.keys()].sort());
    for (const [name, gradient] of byLogits.gradients) {
      const found = byRows.gradients.get(name)!;
      const [difference, square] = gradient.reduce(
        ([d, s], value, i) => [d + (value - found[i]) ** 2, s + value ** 2],
        [0, 0],
      );
      expect(square, name).toBeGreaterThan(0);
      expect(Math.sqrt(difference / square), name).toBeLessThan(1e-4);
    }
  },
);

it('refuses a teacher of another vocabulary', async () => {
  const other = configOf({ width: 48, layers: 1, visionWidth: 24, side: 56, vocabulary: 51 });
  const options = {
    ...({ batch: 1, length: 8, tiles: 0, answers: 2, partition: 'whole', threads: 1 } as const),
    trains: () => false,
    loss: { ceWeight: 1, kdWeight: 1, labelSmoothing: 0, teacher: { config: other } },
  };
  await expect(createQatStep(ort, student, options)).rejects.toThrow(/51 tokens.*50/s);
});
