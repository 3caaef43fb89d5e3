import { SpeedqError, packedBytes, schemeName } from '@speedq/format';
import type { BilevelScheme, ShardPlan } from '@speedq/format';
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
import { countWorkload } from '../quantize/count-workload.ts';
import { measureStages } from '../quantize/measure-stages.ts';
import { METHODS } from '../quantize/methods/names.ts';
import { requireSameVocabulary } from '../quantize/teacher-model.ts';
import { PAPER_TOKENS, estimateMethod, estimatePacking, estimatePaperSchedule } from '../recipes/estimate.ts';
import { estimateContext } from '../recipes/estimate-stage.ts';
import type { SizedModel, StageEstimate } from '../recipes/estimate-stage.ts';
import { loadRecipe } from '../recipes/load-recipe.ts';
import { measureMachine } from '../recipes/machine.ts';
import { asBest, asReference, languageOnly } from '../recipes/recipes.ts';
import type { Recipe } from '../recipes/schema.ts';
import { assumedWorkload } from '../recipes/workload.ts';
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
    method: {
      type: 'string',
      choices: METHODS,
      default: 'speedq',
      description: 'whose stages are listed; the table has all methods',
    },
    scope: {
      type: 'string',
      choices: ['model', 'language'],
      default: 'model',
      description: 'what is quantized: all the recipe says, or the language model alone',
    },
    reference: { type: 'boolean', description: 'the arithmetic and order of the reference implementation' },
    data: {
      type: 'string',
      hint: 'FILE|DIR',
      description:
        'what quantize will be given: its tiles and tokens; default: as much as it asks for, a tile each',
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
    'Bytes are exact, memory is counted, and times are those of a machine that does nothing else, from what it is\n' +
    'measured to do meanwhile, which takes some seconds.',
  examples: [
    { does: 'What 2 bits would yield', line: 'plan tools/models/pico' },
    {
      does: 'What a method would take with your data',
      line: 'plan tools/models/pico --method gptq --data calibration',
    },
    { does: 'Tensor by tensor, by another recipe', line: 'plan tools/models/pico --recipe 4bit --tensors' },
  ],
  async run({ args, options, output, progress, signal }) {
    const { method } = options;
    if (options.reference && method !== 'speedq') {
      throw new SpeedqError('invalid-argument', `--reference is a way of --method speedq, not of ${method}.`);
    }
    const named = await loadRecipe(options.recipe);
    const scoped = options.scope === 'language' ? languageOnly(named) : named;
    const recipe = options.reference ? asReference(scoped) : scoped;
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
      const { config } = folder;
      const workload =
        options.data === undefined
          ? assumedWorkload(recipe, config)
          : await countWorkload(folder, recipe, method, options.data, signal);
      const rates = await measureMachine(threads, schemesOf(shardPlan), recipe.gptq);
      const contextOf = (own: Recipe) =>
        estimateContext(own, config, parameters, { workload, rates, threads, teacher });
      const context = contextOf(recipe);
      const methods = (options.reference ? (['speedq'] as const) : METHODS).map((name) =>
        name === 'rtn'
          ? estimatePacking(shardPlan, rates)
          : estimateMethod(name === 'best' ? contextOf(asBest(recipe)) : context, name),
      );
      const work = methods.find(({ name }) => name === method)!;
      const paper = estimatePaperSchedule(context, parameters, options.gpuTflops * 1e12);
      output.table(
        [
          ['method', 'peak memory', `time on ${threads} cores`, 'of processors'],
          ...methods.flatMap((one) => [describe(one), ...(one === work ? one.stages.map(describe) : [])]),
        ],
        [1, 2, 3],
      );
      output.print(
        `with ${formatCount(workload.conversations)} conversations of ${workload.tokens.toFixed(0)} tokens, ` +
          `${formatCount(workload.tiles)} tiles${options.data === undefined ? ' (--data DIR counts yours)' : ''}`,
      );
      output.print();
      output.print(`measured here: ${(rates.gemm / 1e9).toFixed(0)} GFLOP/s of matrix products`);
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
        ...{ storage, workload, rates, methods, work, paper, measured },
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

function describe({ name, peakBytes, seconds, processorSeconds }: StageEstimate): string[] {
  const label = (METHODS as readonly string[]).includes(name) ? name : `  ${name}`;
  return [label, formatBytes(peakBytes), formatDuration(seconds), formatDuration(processorSeconds)];
}

/** The schemes of linears, each once. */
function schemesOf({ tensors }: ShardPlan): BilevelScheme[] {
  const found = new Map<string, BilevelScheme>();
  for (const { scheme } of tensors.values()) {
    if (scheme.kind === 'bilevel') found.set(schemeName(scheme), scheme);
  }
  return [...found.values()];
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
