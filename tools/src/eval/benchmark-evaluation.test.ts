import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { evaluateBenchmark } from './benchmark-evaluation.ts';
import type { BenchmarkEvaluation } from './benchmark-evaluation.ts';
import { BENCHMARKS, chooseBenchmark } from './benchmarks/index.ts';
import { writePredictions } from './predictions.ts';
import { readBenchmarkQuestions } from './question.ts';
import { smallBenchmarks } from './testing/benchmark-tables.ts';
import { scriptedModel } from './testing/scripted-model.ts';
import { temporaryTable } from './testing/temporary-table.ts';

const tables = new Map((await smallBenchmarks()).map((one) => [one.name, one]));

/** Scores the predictions of the small table, asked in their prompts. */
async function evaluate(name: string) {
  const { tsv, predictions } = tables.get(name)!;
  const { table, path } = await temporaryTable(tsv, `${name}.tsv`);
  const benchmark = chooseBenchmark(undefined, path)!;
  const rows = readBenchmarkQuestions(table);
  const said = new Map(table.rows.map(({ index }, i) => [index, predictions[i]]));
  const script = new Map(rows.map((row) => [benchmark.prompt(row), said.get(row.index)!]));
  const shown: { maxTiles?: number; width: number }[] = [];
  const model = scriptedModel((prompt) => {
    const found = [...script].find(([text]) => prompt.includes(`\n${text}<|im_end|>`));
    if (found === undefined) throw new Error(`Nothing to say to ${prompt}`);
    return found[1];
  });
  const result = await evaluateBenchmark({
    benchmark,
    rows,
    model: {
      ...model,
      toPicture(image, maxTiles) {
        shown.push({ maxTiles, width: image.width });
        return model.toPicture(image);
      },
    },
    pictures: 'own',
    maxNewTokens: 64,
  });
  return { result, table, path, shown };
}

const rowsOf = ({ table }: BenchmarkEvaluation) =>
  Object.fromEntries(table.rows.map(({ name, values }) => [name, values]));
const ONE_OF_THREE = 100 / 3;

/** Scores by hand; VLMEvalKit's own scorers give the same (docs/evaluation.md). */
describe('scores', () => {
  it('MMBench: a question is right if it is in every rotation', async () => {
    const { result } = await evaluate('MMBench_DEV_EN_V11');
    expect(result.score).toBe(50);
    expect(result.accuracy).toBe(0.5);
    expect(result.count).toBe(11);
    expect(result.table.columns).toEqual(['dev']);
    expect(rowsOf(result)).toEqual({
      Overall: [50],
      CP: [(100 * 2) / 3],
      AR: [0],
      image_scene: [100],
      image_style: [50],
      physical: [0],
    });
  });

  it('MMBench in Chinese', async () => {
    const { result } = await evaluate('MMBench_DEV_CN_V11');
    expect(rowsOf(result)).toEqual({ Overall: [50], CP: [100], LR: [0], 场景: [100], 颜色: [0] });
    expect(result.answers[0].prompt).toBe(
      '图中是什么动物？\nA. 猫\nB. 狗\nC. 牛\nD. 猪\n请直接回答选项字母。',
    );
  });

  it('HallusionBench: answers, figures, questions', async () => {
    const { result } = await evaluate('HallusionBench');
    // 4 of 6 answers; figures VD 2 of VD 1, 2 and VS 1; questions VD 0, VS 0 of VD 0, 1 and VS 0, 1.
    expect(rowsOf(result)).toEqual({
      Overall: [(100 * 4) / 6, ONE_OF_THREE, 50],
      VD: [75, 50, 50],
      VS: [50, 0, 50],
      chart: [75, 50, 50],
      map: [50, 0, 50],
    });
    expect(result.score).toBeCloseTo((400 / 6 + 100 / 3 + 50) / 3, 10);
    expect(result.answers[0].prompt).toBe(
      'Is the first bar taller? Please answer yes or no. Answer the question using a single word or phrase.',
    );
  });

  it('OCRBench: sums of sections', async () => {
    const { result, shown } = await evaluate('OCRBench');
    expect(rowsOf(result)).toMatchObject({
      'Final Score': [6, 9],
      'Text Recognition': [3, 4],
      'Irregular Text Recognition': [1, 1],
      'Digit String Recognition': [0, 1],
      'Scene Text-centric VQA': [0, 1],
      'Doc-oriented VQA': [1, 1],
      'Key Information Extraction': [1, 1],
      'Handwritten Mathematical Expression Recognition': [1, 2],
    });
    expect(result.score).toBe(0.6);
    expect(shown.every(({ maxTiles }) => maxTiles === 24)).toBe(true);
  });

  it('MMMU: validation is what counts, open questions by their answer', async () => {
    const { result, shown } = await evaluate('MMMU_DEV_VAL');
    expect(result.table.columns).toEqual(['validation', 'dev']);
    expect(rowsOf(result)).toEqual({
      Overall: [40, 100],
      Arts: [50, 100],
      Science: [ONE_OF_THREE, null],
      Art: [50, 100],
      Physics: [ONE_OF_THREE, null],
    });
    expect(result.score).toBe(40);
    // The first picture of each question is doubled: 40 pixels to 80.
    expect(shown.map(({ width }) => width)).toEqual([80, 80, 40, 80]);
    expect(shown.every(({ maxTiles }) => maxTiles === 12)).toBe(true);
    // 'None' is no option to pandas.
    expect(result.answers[1].prompt).toBe(
      "Between <image 1> and <image 2>?\nA. x\nB. y\nD. z\nAnswer with the option's letter from the given choices directly.",
    );
    expect(result.answers[2].prompt).toBe('Which value?\nAnswer the question directly.');
  });

  it.each(['MMStar', 'AI2D_TEST', 'SEEDBench_IMG', 'ScienceQA_VAL'])('%s: the mean', async (name) => {
    const { result } = await evaluate(name);
    expect(rowsOf(result)).toEqual({
      Overall: [75],
      image: [50],
      count: [100],
      coarse: [100],
      fine: [(100 * 2) / 3],
    });
    expect(result.table.columns).toEqual([name === 'ScienceQA_VAL' ? 'val' : 'none']);
    expect(result.answers[0].prompt).toBe(
      "Look well.\nWhat is it?\nA. cat\nB. dog\nC. cow\nD. pig\nAnswer with the option's letter from the given choices directly.",
    );
  });
});

it('knows every data set of the paper by its file', () => {
  expect(BENCHMARKS.map(({ name }) => name).sort()).toEqual([...tables.keys()].sort());
  for (const { name } of BENCHMARKS)
    expect(chooseBenchmark(undefined, `some/where/${name}.tsv`)?.name).toBe(name);
  expect(chooseBenchmark(undefined, 'mine.tsv')).toBeUndefined();
  expect(chooseBenchmark('MMStar', 'mine.tsv')?.name).toBe('MMStar');
  expect(() => chooseBenchmark('MMNova', 'mine.tsv')).toThrow(/no data set MMNova/);
});

it('writes predictions beside the columns of the data', async () => {
  const { result, table, path } = await evaluate('HallusionBench');
  const file = join(dirname(path), 'predictions.tsv');
  await writePredictions(
    file,
    table,
    new Map(result.answers.map(({ index, prediction }) => [index, prediction])),
  );
  const lines = (await readFile(file, 'utf8')).split('\n');
  expect(lines[0]).toBe('index\tquestion\tanswer\tcategory\tl2-category\tprediction');
  expect(lines[3]).toBe('val_VD_chart_0_2_0\tIs the first bar taller now?\tNo\tVD\tchart\tNo, it is not');
  // The row without a picture was not asked.
  expect(lines).toHaveLength(1 + 6 + 1);
});
