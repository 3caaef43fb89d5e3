import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OnnxModel } from '@speedq/onnx';
import { IGNORE_INDEX, preprocessImage, renderTrainingSample, userContent } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import * as ort from 'onnxruntime-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openModelFolder } from '../../tools/src/model-folder.ts';
import { readTokenizer } from '../../tools/src/packing/metadata.ts';
import { runSpeedq } from './run-speedq.ts';
import { TINY_TEACHER, tinyRecipe, writeTinyData, writeTinyModel } from './tiny-model.ts';

/** Stage 3 with a teacher that is wider and deeper, and has another encoder and more visual tokens, than the student. */

const QUESTION = 'What is in the picture?';
const ANSWER = 'two cats and a blue circle';

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-teacher-'));
  await writeTinyModel(at('model'));
  await writeTinyModel(at('teacher'), TINY_TEACHER);
  await writeTinyData(at('data'), 24);
  const stage3 = { ...tinyRecipe.stage3, steps: 10, clipSearchTokens: 0 };
  await writeFile(at('tiny.json'), JSON.stringify({ ...tinyRecipe, stage3 }));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const quantize = (out: string, more: readonly string[] = [], stages = '3') => [
  ...['quantize', at('model'), '--recipe', at('tiny.json'), '--data', at('data'), '--out', at(out)],
  ...['--stages', stages, '--threads', '1', '--checkpoint-steps', '1', ...more],
];
const taught = ['--teacher', ''];
beforeAll(() => void (taught[1] = at('teacher')));

/** log softmax at each token of the answer, from its own template, pixels and the graphs that answer questions. */
async function answerLogs(name: string): Promise<number[][]> {
  const opened = await openModelFolder(at(name));
  const { config, tensors } = opened;
  const parameters = new Map<string, Float32Array>();
  for (const parameter of tensors.parameters)
    parameters.set(parameter.name, await tensors.read(parameter.name));
  const tokenizer = (await readTokenizer(opened))!;
  await opened.close();
  const { imageSize: tileSize } = config.vision;
  const picture = await decodeImage(await readFile(at('data', '0.png')));
  const { pixelValues, tiles } = preprocessImage(picture, {
    tileSize,
    minTiles: 1,
    maxTiles: 1,
    useThumbnail: true,
  });
  const messages = [
    { role: 'user', content: userContent(QUESTION, [tiles]) },
    { role: 'assistant', content: ANSWER },
  ] as const;
  const { tokensPerTile } = config;
  const { ids, labels } = renderTrainingSample(messages, { tokenizer, tokensPerTile, systemPrompt: null });
  const model = await OnnxModel.create(ort, config, parameters, { threads: 1 });
  const features = await model.encodeImages(pixelValues, tiles);
  const logits = await model.forward(ids, { features, logits: 'all' });
  await model.release();
  const { vocabSize } = config.language;
  return labels.flatMap((label, t) => {
    if (label === IGNORE_INDEX) return [];
    // The token before it predicts it.
    const row = Array.from(logits.subarray((t - 1) * vocabSize, t * vocabSize));
    const sum = Math.log(row.reduce((all, value) => all + Math.exp(value), 0));
    return [row.map((value) => value - sum)];
  });
}

const divergence = (p: readonly number[], q: readonly number[]) =>
  p.reduce((sum, log, i) => sum + Math.exp(log) * (log - q[i]), 0);
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

test('γ and the first loss are those of the teacher on the same answer', async () => {
  // One conversation, again and again, and a student that is float: nothing but the teacher makes a loss.
  const turns = [
    { from: 'human', value: `<image>\n${QUESTION}` },
    { from: 'gpt', value: ANSWER },
  ];
  const line = JSON.stringify({ image: '0.png', conversations: turns });
  await writeFile(at('data', 'same.jsonl'), `${new Array<string>(8).fill(line).join('\n')}\n`);
  const floats = { vision: 'float', language: 'float', embedding: 'float', head: 'float' };
  const stage3 = { steps: 2, batchSize: 2, gammaBatches: 2, clipSearchTokens: 0 };
  await writeFile(at('float.json'), JSON.stringify({ ...tinyRecipe, schemes: floats, stage3 }));
  const run = await runSpeedq([
    ...['quantize', at('model'), '--recipe', at('float.json'), '--data', at('data', 'same.jsonl')],
    ...['--out', at('float'), '--stages', '3', '--threads', '1', ...taught],
  ]);
  expect(run.code, run.stderr).toBe(0);

  const [teacher, student] = [await answerLogs('teacher'), await answerLogs('model')];
  expect(teacher.length).toBe(student.length);
  const gamma = mean(teacher.map((logs) => Math.exp(Math.max(...logs))));
  const kd = mean(
    teacher.map((t, i) => gamma * divergence(student[i], t) + (1 - gamma) * divergence(t, student[i])),
  );
  const result = run.events.at(-1)!;
  expect(Math.abs((result.gamma as number) / gamma - 1)).toBeLessThan(1e-4);
  const first = run.events.find(({ event, stage }) => event === 'loss' && stage === 'stage-3')!;
  // The student's parameters are those of fp16.
  expect(Math.abs((first.kd as number) / kd - 1)).toBeLessThan(2e-3);
  // That it says something: the student against itself would be far away.
  expect(kd).toBeGreaterThan(0.1);
  expect(result.teacher).toBe('teacher');
}, 120_000);

test('a run with a teacher resumes to the same bytes, with that teacher alone, and its report says who taught', async () => {
  const whole = await runSpeedq(quantize('whole/out', taught));
  expect(whole.code, whole.stderr).toBe(0);
  const losses = whole.events.filter(({ event, stage }) => event === 'loss' && stage === 'stage-3');
  expect(losses.at(-1)!.kd as number).toBeLessThan(losses[0].kd as number);

  let armed = true;
  const killed = await runSpeedq(quantize('killed/out', taught), (event, kill) => {
    if (!armed || event.event !== 'loss' || event.step !== 4) return;
    armed = false;
    kill('SIGKILL');
  });
  expect(killed.signal, killed.stderr).toBe('SIGKILL');
  const alone = await runSpeedq(quantize('killed/out'));
  expect(alone.events.at(-1)).toMatchObject({ event: 'error', code: 'resume-mismatch' });
  expect(alone.stderr).toContain('teacher (was another model, is the model itself)');
  await writeTinyModel(at('other'), { ...TINY_TEACHER, layers: 2 });
  const other = await runSpeedq(quantize('killed/out', ['--teacher', at('other')]));
  expect(other.events.at(-1)).toMatchObject({ event: 'error', code: 'resume-mismatch' });
  expect(other.stderr).toContain('the files of teacher');

  const resumed = await runSpeedq(quantize('killed/out', taught));
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(resumed.stderr).toContain('Resuming');
  // It has the SHA-256 of every packed file.
  const manifestOf = (run: string) => readFile(at(run, 'out', 'manifest.json'), 'utf8');
  expect(await manifestOf('killed')).toBe(await manifestOf('whole'));

  const report = await readFile(at('whole', 'out', 'report.html'), 'utf8');
  expect(report).toMatch(/Teacher of stage 3.*teacher.*compare with model, the float model/s);
  expect(await readFile(at('whole', 'out', 'README.md'), 'utf8')).toContain('taught by teacher');
  const summary = JSON.parse(await readFile(at('whole', 'out', 'checkpoint', 'quantization.json'), 'utf8'));
  expect(summary).toMatchObject({ teacher: 'teacher' });
}, 240_000);

test('a teacher of another vocabulary is refused, both named; so is one that would teach nothing', async () => {
  const refused = async (code: string, ...args: string[]) => {
    const run = await runSpeedq(args);
    expect(run.code).toBe(2);
    expect(run.events.at(-1)).toMatchObject({ event: 'error', code });
    return run.stderr;
  };
  await writeTinyModel(at('larger'), { ...TINY_TEACHER, vocabulary: 4096 });
  for (const command of [
    quantize('none', ['--teacher', at('larger')]),
    ['plan', at('model'), '--teacher', at('larger')],
  ]) {
    const message = await refused('invalid-argument', ...command);
    expect(message).toContain(at('larger'));
    expect(message).toContain(at('model'));
    expect(message).toContain('4096 tokens');
  }

  // As many tokens, two of them exchanged.
  await writeTinyModel(at('swapped'), TINY_TEACHER);
  const file = at('swapped', 'tokenizer.json');
  const tokenizer = JSON.parse(await readFile(file, 'utf8')) as { model: { vocab: Record<string, number> } };
  const { vocab } = tokenizer.model;
  [vocab.a, vocab.b] = [vocab.b, vocab.a];
  await writeFile(file, JSON.stringify(tokenizer));
  const swapped = await refused('invalid-argument', ...quantize('none', ['--teacher', at('swapped')]));
  expect(swapped).toMatch(/token \d+ is "[ab]" to it, "[ab]" to the student/);

  expect(await refused('invalid-argument', ...quantize('none', ['--method', 'gptq', ...taught]))).toContain(
    '--method gptq has no stage 3',
  );
  expect(await refused('invalid-argument', ...quantize('none', taught, '1,2'))).toContain(
    '--stages 1,2 leaves out stage 3',
  );
}, 120_000);
