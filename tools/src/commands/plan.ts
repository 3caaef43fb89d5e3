import { packedBytes, schemeName } from '@speedq/format';
import { elementCount } from '@speedq/model';
import { availableParallelism } from 'node:os';
import { defineCommand } from '../cli/command.ts';
import type { CommandContext } from '../cli/command.ts';
import { requireFloat, withModelFolder } from '../model-folder.ts';
import type { FloatModelFolder } from '../model-folder.ts';
import { formatBytes, formatCount, formatDuration } from '../output.ts';
import { planPacking } from '../packing/pack-model.ts';
import { predictFiles } from '../packing/predict-files.ts';
import { summarizeStorage } from '../packing/summary.ts';
import { measureStages } from '../quantize/measure-stages.ts';
import { requireSameVocabulary } from '../quantize/teacher-model.ts';
import { PAPER_TOKENS, estimatePacking, estimatePaperSchedule, estimateStages } from '../recipes/estimate.ts';
import type { SizedModel } from '../recipes/estimate.ts';
import { loadRecipe } from '../recipes/load-recipe.ts';
import { measureMachine } from '../recipes/machine.ts';
import type { Recipe } from '../recipes/schema.ts';
import { printStorage } from './inspect.ts';

export const plan = defineCommand({
  args: { model: { description: 'folder of a float model' } },
  options: {
    recipe: { type: 'string', hint: 'NAME|FILE', default: '2bit', description: 'name or JSON file' },
    teacher: {
      type: 'string',
      hint: 'DIR',
      description: 'float model that teaches stage 3; default: the model itself',
    },
    tensors: { type: 'boolean', description: 'list every tensor' },
    threads: { type: 'integer', min: 1, description: 'of onnxruntime; default: one per core' },
    measure: {
      type: 'integer',
      min: 2,
      hint: 'N',
      description: 'run N updates of a block of stage 1 and of stage 3 on noise: their time and memory',
    },
    gpuTflops: {
      type: 'number',
      min: 0.1,
      default: 20,
      description: 'what a graphics card sustains in training, for the schedule of the paper',
    },
  },
  details:
    'Bytes are exact, memory is counted, and times come from what this machine is measured to do meanwhile, which\n' +
    'takes some seconds; a machine that is busy otherwise is slower in both.',
  examples: [
    { does: 'What 2 bits would yield', line: 'plan tools/models/pico' },
    { does: 'Tensor by tensor, by another recipe', line: 'plan tools/models/pico --recipe 4bit --tensors' },
  ],
  async run({ args, options, output, progress, signal }) {
    const recipe = await loadRecipe(options.recipe);
    return withModelFolder(args.model, async (opened) => {
      const folder = requireFloat(opened);
      const { parameters } = folder.tensors;
      const shardPlan = await planPacking(recipe, folder.tensors, signal);
      const stored = parameters.map((parameter) => {
        const { scheme, parts } = shardPlan.tensors.get(parameter.name)!;
        const bytes = packedBytes(scheme, parameter.shape, parameter.name);
        return { parameter, scheme, bytes, parts };
      });
      const files = await predictFiles(folder, recipe, shardPlan);
      const fileBytes = files.reduce((sum, file) => sum + file.bytes, 0);
      const sourceBytes = folder.weights
        .names()
        .reduce((sum, name) => sum + folder.weights.info(name).bytes, 0);
      const bytes = stored.reduce((sum, item) => sum + item.bytes, 0);

      output.print(`${output.bold(folder.name)} by recipe ${recipe.name}`);
      output.print();
      if (options.tensors) {
        for (const { parameter, scheme, bytes, parts } of stored) {
          const { name, shape } = parameter;
          output.event('tensor', { name, shape, scheme: schemeName(scheme), bytes, parts: parts.length });
        }
        output.table(
          stored.map(({ parameter, scheme, bytes }) => [
            parameter.name,
            `[${parameter.shape.join(', ')}]`,
            schemeName(scheme),
            formatCount(bytes),
          ]),
          [3],
        );
        output.print();
      }
      const storage = summarizeStorage(stored);
      printStorage(storage, output);
      const weights = parameters.reduce((sum, { shape }) => sum + elementCount(shape), 0);
      output.print(
        `${formatCount(bytes)} bytes (${formatBytes(bytes)}) in ${shardPlan.shards.length} shards, ` +
          `${((bytes * 8) / weights).toFixed(3)} bits a weight; now ${formatBytes(sourceBytes)}`,
      );
      output.print(
        `${formatCount(fileBytes)} bytes (${formatBytes(fileBytes)}) of files beside the manifest`,
      );
      output.print();
      const threads = options.threads ?? availableParallelism();
      const teacher =
        options.teacher === undefined ? undefined : await sizeOfTeacher(options.teacher, folder);
      const rates = await measureMachine(threads);
      const work = [
        estimatePacking(shardPlan, rates),
        ...estimateStages(recipe, folder.config, parameters, rates, teacher),
      ];
      const paper = estimatePaperSchedule(folder.config, parameters, rates, options.gpuTflops * 1e12);
      output.table(
        [
          ['', 'peak memory', `time on ${threads} cores`],
          ...work.map(({ name, peakBytes, seconds }) => [
            name,
            formatBytes(peakBytes),
            formatDuration(seconds),
          ]),
        ],
        [1, 2],
      );
      output.print();
      output.print(
        `measured here: ${(rates.gemm / 1e9).toFixed(0)} GFLOP/s of matrix products, ` +
          `${(rates.bilevel / 1e6).toFixed(0)} M weights/s rounded`,
      );
      output.print(
        `the paper's ${formatCount(paper.steps)} steps of stage 3 (${paper.batchSize} sequences of ${paper.tokens} ` +
          `tokens with a tile): ${(paper.seconds / 86_400).toFixed(0)} days here, ` +
          `${(paper.gpuSeconds / 3600).toFixed(0)} hours at ${options.gpuTflops} TFLOP/s`,
      );
      const measured =
        options.measure === undefined
          ? undefined
          : await measureUpdates(
              folder,
              recipe,
              { updates: options.measure, threads },
              { output, progress, signal },
            );
      return {
        ...{ recipe: recipe.name, bytes, fileBytes, files, sourceBytes, shards: shardPlan.shards.length },
        ...{ storage, rates, work, paper, measured },
      };
    });
  },
});

function sizeOfTeacher(path: string, student: FloatModelFolder): Promise<SizedModel> {
  return withModelFolder(path, async (opened) => {
    const { config, tensors } = requireFloat(opened);
    await requireSameVocabulary(student, requireFloat(opened));
    return { config, parameters: tensors.parameters };
  });
}

/** `--measure`: updates of one tile, and of one sequence of the paper's length. */
async function measureUpdates(
  { config, tensors }: FloatModelFolder,
  recipe: Recipe,
  { updates, threads }: { readonly updates: number; readonly threads: number },
  { output, progress, signal }: Pick<CommandContext, 'output' | 'progress' | 'signal'>,
) {
  const task = progress.start('measuring', 2 * updates);
  const stages = await measureStages({
    ...{ config, tensors, recipe, updates, threads, tokens: PAPER_TOKENS },
    onProgress: (label, done) => task.update(label === 'stage 3' ? updates + done : done, label),
    stopRequested: () => signal.aborted,
  });
  task.finish();
  output.print();
  output.table(
    [
      [`measured, ${threads} threads`, 'an update', 'of processors', 'in all', 'peak memory so far'],
      ...stages.map(({ name, seconds, processorSeconds, totalSeconds, peakBytes }) => [
        `${name}, ${updates} updates of one ${name === 'stage 3' ? `sequence of ${PAPER_TOKENS}` : 'tile'}`,
        `${seconds.toFixed(1)} s`,
        `${processorSeconds.toFixed(1)} s`,
        formatDuration(totalSeconds),
        formatBytes(peakBytes),
      ]),
    ],
    [1, 2, 3, 4],
  );
  return { tokens: PAPER_TOKENS, stages };
}
