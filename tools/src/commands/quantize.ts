import { MANIFEST_FILE, SpeedqError } from '@speedq/format';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { allocateBits, parseTarget } from '../allocation/index.ts';
import { defineCommand } from '../cli/command.ts';
import { requireFloat, withModelFolder } from '../model-folder.ts';
import type { FloatModelFolder } from '../model-folder.ts';
import { formatBytes, formatDuration } from '../output.ts';
import { checkReplaceable, publish, writeOutputFolder } from '../output-folder.ts';
import { writePackedModel } from '../packing/pack-model.ts';
import { findSources } from '../quantize/data/sources.ts';
import { DEVICES } from '../quantize/device.ts';
import { STAGES_VERSION, hashFiles, hashModel } from '../quantize/fingerprint.ts';
import type { StageNumber } from '../quantize/job.ts';
import { writeReport } from '../quantize/report/write-report.ts';
import { runWorker } from '../quantize/run-worker.ts';
import { openWorkFolder, workFolder } from '../quantize/work-folder.ts';
import { requireSameVocabulary } from '../quantize/teacher-model.ts';
import { loadRecipe } from '../recipes/load-recipe.ts';
import { METHODS, isStaged } from '../quantize/methods/names.ts';
import type { Method } from '../quantize/methods/names.ts';
import { asBest, asReference, languageOnly } from '../recipes/recipes.ts';
import type { Recipe } from '../recipes/schema.ts';

export const quantize = defineCommand({
  args: { model: { description: 'folder of a float model' } },
  options: {
    recipe: { type: 'string', hint: 'NAME|FILE', default: '2bit', description: 'name or JSON file' },
    data: { type: 'string', hint: 'FILE|DIR', description: 'meta JSON, JSONL, or a folder that holds one' },
    out: { type: 'string', hint: 'DIR', required: true, description: 'packed folder to create' },
    method: {
      type: 'string',
      choices: METHODS,
      default: 'speedq',
      description: 'how weights are rounded (below)',
    },
    teacher: {
      type: 'string',
      hint: 'DIR',
      description:
        'float model of the same vocabulary, any size, that teaches stage 3; default: the model itself',
    },
    scope: {
      type: 'string',
      choices: ['model', 'language'],
      default: 'model',
      description: 'what is quantized: all the recipe says, or the language model alone',
    },
    stages: { type: 'string', hint: '1,2,3', default: '1,2,3', description: 'which stages train' },
    targetBpw: {
      type: 'number',
      min: 2,
      max: 16,
      hint: 'N',
      description: "mean bits of a linear's weight, spent where the answers need them",
    },
    targetSize: {
      type: 'string',
      hint: 'SIZE',
      description: 'the same for the bytes of all files, such as 315MiB; tables take part',
    },
    reference: { type: 'boolean', description: 'the arithmetic and order of the reference implementation' },
    seed: { type: 'integer', min: 0, default: 0, description: 'the same seed gives the same bytes' },
    threads: { type: 'integer', min: 1, description: 'of onnxruntime; default: one per core' },
    device: {
      type: 'string',
      choices: DEVICES,
      default: 'cpu',
      description: 'what trains stages 2 and 3 and runs encoder and teacher (below)',
    },
    checkpointSteps: { type: 'integer', min: 1, default: 25, description: 'updates between checkpoints' },
    force: { type: 'boolean', description: 'replace an earlier output, discard an unfinished run' },
  },
  examples: [
    { does: 'Without data, in seconds', line: 'quantize tools/models/pico --method rtn --out pico-rtn' },
    {
      does: 'Staged training, for accuracy',
      line: 'quantize tools/models/pico --recipe 2bit --data calibration --out pico-2bit',
    },
    {
      does: 'Bits where the answers need them, 3 on average',
      line: 'quantize tools/models/pico --data calibration --target-bpw 3 --out pico-3bpw',
    },
  ],
  details: [
    'Methods:',
    '- speedq: stage 1 learns how to round the vision encoder, stage 2 fits the projector, stage 3 trains the ' +
      'quantized language model with the original, or --teacher, as teacher.',
    '- rtn: rounding to nearest, without data.',
    '- clip: searched clipping ranges.',
    '- gptq: error feedback.',
    '- awq: scaled channels.',
    '- adaround: learned rounding, block by block.',
    '- blockwise: learned weights, scales and zero points, block by block.',
    '- best: blockwise, then stages 2 and 3 with learned scales.',
    '--device webgpu keeps weights, moments and activations on the graphics card, what does not train in fp16 where it ' +
      'can; cuda is for onnxruntime-node with its CUDA libraries. Stage 1, the other methods, stage 2 by features and ' +
      'the measurement of the result run on the CPU.',
    'An interrupted run is resumed by the same command.',
  ].join('\n'),
  async run({ args, options, output, progress, signal }) {
    const { force, seed, method } = options;
    const out = resolve(options.out);
    const named = await loadRecipe(options.recipe);
    const scoped = options.scope === 'language' ? languageOnly(named) : named;
    const base = options.reference ? asReference(scoped) : method === 'best' ? asBest(scoped) : scoped;
    const target = parseTarget(options);
    if (target !== undefined && options.reference) {
      throw new SpeedqError(
        'invalid-argument',
        '--reference keeps to the fixed schemes of its recipe; leave out --target-bpw and --target-size.',
      );
    }
    const stages = parseStages(options.stages);
    const replacing = { marker: MANIFEST_FILE, force };
    await checkReplaceable(out, replacing);
    const begin = performance.now();

    if (options.reference && method !== 'speedq') {
      throw new SpeedqError('invalid-argument', `--reference is a way of --method speedq, not of ${method}.`);
    }
    const allocation =
      target &&
      (await allocateBits({
        ...{ recipe: base, target, log: join(dirname(out), `.${basename(out)}.sensitivity.jsonl`) },
        ...{ model: args.model, data: requireData(options.data), seed, force },
        threads: options.threads ?? availableParallelism(),
        ...{ progress, signal },
      }));
    const recipe = allocation?.recipe ?? base;
    if (options.teacher !== undefined) requireTeachable(recipe, method, stages);
    if (method === 'rtn') {
      return withModelFolder(args.model, async (opened) => {
        const folder = requireFloat(opened);
        const task = progress.start(`packing ${folder.name}`);
        const manifest = await writeOutputFolder(out, replacing, async (partial) => {
          const onShard = (done: number, total: number) => task.update(done, `of ${total} shards`);
          const packed = await writePackedModel({ folder, recipe, signal, onShard }, partial, basename(out));
          await writeReport(partial, folder, packed, { method, recipe, history: [] });
          return packed;
        });
        const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
        task.finish(formatBytes(bytes));
        await allocation?.discard();
        output.print(out);
        const run = { bytes, ...usage(), allocation: allocation?.units };
        return { out, kind: 'packed', recipe: recipe.name, method, ...run };
      });
    }

    const data = requireData(options.data);
    const { files } = await findSources(data);
    const hashes = await withModelFolder(args.model, async (folder) => ({
      // Before minutes of hashing.
      teacher: options.teacher && (await hashTeacher(options.teacher, requireFloat(folder))),
      model: await hashModel(requireFloat(folder)),
    }));
    const work = workFolder(out);
    const fingerprint = {
      ...{ ...hashes, recipe, method, stages, seed, device: options.device },
      data: await hashFiles(files),
      version: STAGES_VERSION,
    };
    const opened = await openWorkFolder(work, fingerprint, {
      threads: options.threads,
      defaultThreads: availableParallelism(),
      force,
    });
    try {
      const { threads, resumes } = opened;
      if (resumes) output.note(`Resuming the unfinished run in ${work}.`);
      const { checkpointSteps } = options;
      const { folder, summary, bytes } = await runWorker(
        {
          ...{ out, work, recipe, method, stages, seed, threads, checkpointSteps, device: options.device },
          model: resolve(args.model),
          teacher: options.teacher && resolve(options.teacher),
          data: resolve(data),
        },
        { output, progress, signal },
      );
      await publish(folder, out, replacing);
      await rm(work, { recursive: true, force: true });
      await allocation?.discard();
      output.note(`done in ${formatDuration((performance.now() - begin) / 1000)}`);
      output.print(out);
      const run = {
        ...{ stages, seed, threads, bytes, ...usage() },
        allocation: allocation?.units,
      };
      return { out, kind: 'packed', recipe: recipe.name, method, ...run, ...summary };
    } finally {
      await opened.release();
    }
  },
});

/** Of all cores, and memory at its peak, since this process began; what an interrupted run took before is not in it. */
function usage(): { readonly processorSeconds: number; readonly peakBytes: number } {
  const { user, system } = process.cpuUsage();
  return { processorSeconds: (user + system) / 1e6, peakBytes: process.resourceUsage().maxRSS * 1024 };
}

/** Throws `invalid-argument` where a teacher would have nobody to teach. */
function requireTeachable(recipe: Recipe, method: Method, stages: readonly StageNumber[]): void {
  const missing = !isStaged(method)
    ? `--method ${method} has no stage 3`
    : !stages.includes(3)
      ? `--stages ${stages.join()} leaves out stage 3`
      : recipe.stage3.distillationWeight === 0
        ? `recipe ${recipe.name} has stage3.distillationWeight 0`
        : undefined;
  if (missing === undefined) return;
  throw new SpeedqError(
    'invalid-argument',
    `--teacher teaches stage 3 of --method speedq and best, but ${missing}. Leave one of them out.`,
  );
}

function hashTeacher(path: string, student: FloatModelFolder): Promise<string> {
  return withModelFolder(path, async (opened) => {
    const teacher = requireFloat(opened);
    await requireSameVocabulary(student, teacher);
    return hashModel(teacher);
  });
}

function requireData(data: string | undefined): string {
  if (data !== undefined) return data;
  throw new SpeedqError(
    'invalid-argument',
    '--data is missing: training and measuring need pictures and conversations. Make some with speedq data, or ' +
      'use --method rtn with the fixed schemes of a recipe.',
  );
}

function parseStages(text: string): StageNumber[] {
  const stages = [...new Set(text.split(',').map((part) => Number(part.trim())))].sort((a, b) => a - b);
  if (stages.length > 0 && stages.every((stage) => [1, 2, 3].includes(stage))) return stages as StageNumber[];
  throw new SpeedqError(
    'invalid-argument',
    `--stages is ${JSON.stringify(text)}; expected a list such as 1,2,3.`,
  );
}
