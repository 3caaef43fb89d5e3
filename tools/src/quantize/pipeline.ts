import { SpeedqError } from '@speedq/format';
import { mkdir, rm, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { elementCount } from '@speedq/model';
import { formatBytes } from '../output.ts';
import { requireFloat, withModelFolder } from '../model-folder.ts';
import type { FloatModelFolder } from '../model-folder.ts';
import { readTokenizer, resolveMetadata } from '../packing/metadata.ts';
import { writePackedModel } from '../packing/pack-model.ts';
import { resolveSchemes } from '../recipes/resolve-schemes.ts';
import { Checkpoints } from './checkpoints.ts';
import { writeCheckpointFolder } from './checkpoint-folder.ts';
import { ort } from './context.ts';
import type { StageContext } from './context.ts';
import { prepareSamples } from './data/samples.ts';
import type { Prepared, Sample } from './data/samples.ts';
import { findSources } from './data/sources.ts';
import { openDevice } from './device.ts';
import type { Device } from './device.ts';
import { HELD_OUT, measureDivergence } from './held-out.ts';
import type { BlockErrors, QuantizeJob, QuantizeSummary } from './job.ts';
import { trainLanguageModel } from './language-stage.ts';
import { readParameters } from './parameter-store.ts';
import { BLOCK_METHODS, quantizeByBlocks } from './methods/block-methods.ts';
import { trainProjector } from './projector-stage.ts';
import { readHistory } from './report/history.ts';
import { writeReport } from './report/write-report.ts';
import { stopIfAsked } from './reporter.ts';
import type { Reporter } from './reporter.ts';
import { quantizeBlocks } from './blocks/quantize-blocks.ts';
import { adaroundMethod } from './methods/adaround.ts';
import { blockwiseMethod } from './methods/blockwise.ts';
import { isStaged } from './methods/names.ts';
import { Student } from './student.ts';
import { openTeacherModel } from './teacher-model.ts';

export interface PipelineResult {
  /** Complete, under a temporary name. */
  readonly folder: string;
  readonly summary: QuantizeSummary;
  /** Of the packed files. */
  readonly bytes: number;
}

/** Sequences beyond this are cut by no one here: they are left out. */
const MAX_LENGTH = 8192;

/** All stages, one after the other, resumed from the work folder; then the packed model and its checkpoint. */
export async function runPipeline(job: QuantizeJob, reporter: Reporter): Promise<PipelineResult> {
  const withTeacher = <T>(use: (folder?: FloatModelFolder) => Promise<T>) =>
    job.teacher === undefined ? use() : withModelFolder(job.teacher, (opened) => use(requireFloat(opened)));
  return withModelFolder(job.model, (opened) =>
    withTeacher(async (teacher) => {
      const folder = requireFloat(opened);
      await requireSpace(job.work, folder, teacher);
      const device = await openDevice(ort, job.device);
      try {
        const prepared = await prepareData(folder, job, reporter);
        const context = await createContext({ folder, teacher }, job, prepared, device, reporter);
        await guardData(context.checkpoints, prepared);
        return await runStages(folder, job, prepared, context);
      } finally {
        await device.release();
      }
    }),
  );
}

async function runStages(
  folder: FloatModelFolder,
  job: QuantizeJob,
  prepared: PreparedData,
  context: StageContext,
): Promise<PipelineResult> {
  const { student, recipe, reporter } = context;
  const once = recipe.fixes.quantizeTablesOnce;
  const finish = async (found: Pick<QuantizeSummary, 'blocks' | 'gamma' | 'losses'>) => {
    const { samples, pictures, heldOut } = prepared;
    const summary: QuantizeSummary = {
      ...found,
      divergence: await measureDivergence(context, heldOut),
      conversations: samples.length,
      pictures: pictures.pictures.length,
      ...(job.teacher !== undefined && { teacher: basename(job.teacher) }),
    };
    return writeResult(folder, job, student, summary, reporter);
  };

  if (once) student.quantizeTables();
  if (!isStaged(job.method)) {
    const blocks = await quantizeByBlocks(context, BLOCK_METHODS[job.method]);
    return finish({ blocks, losses: {} });
  }
  const best = job.method === 'best';
  const blocks: BlockErrors[] = [];
  if (job.stages.includes(1)) {
    blocks.push(
      ...(await quantizeBlocks(
        context,
        'vision',
        best ? blockwiseMethod : adaroundMethod,
        recipe.stage1.calibrationImages,
      )),
    );
  } else student.roundToNearest('vision');
  const losses: Record<string, number> = {};
  const keep = (stage: string, found: Readonly<Record<string, number>>) => {
    for (const [name, value] of Object.entries(found)) losses[`${stage}.${name}`] = value;
  };
  if (job.stages.includes(2)) {
    if (!once) student.quantizeTables();
    keep('stage2', await trainProjector(context));
  }
  let gamma: QuantizeSummary['gamma'];
  if (job.stages.includes(3)) {
    if (!once) student.quantizeTables();
    if (best) {
      const { conversations } = recipe.calibration;
      blocks.push(...(await quantizeBlocks(context, 'language', blockwiseMethod, conversations)));
    }
    const trained = await trainLanguageModel(context);
    keep('stage3', trained.losses);
    gamma = trained.gamma;
  }
  if (!once) student.quantizeTables();
  return finish({ blocks, gamma, losses });
}

type PreparedData = Prepared & { readonly heldOut: readonly Sample[] };

/** What a job trains on, and what it keeps out. */
export async function prepareData(
  folder: FloatModelFolder,
  job: Pick<QuantizeJob, 'recipe' | 'seed' | 'method' | 'stages' | 'data'>,
  reporter: Reporter,
): Promise<PreparedData> {
  const { recipe, seed, method } = job;
  const stages = isStaged(method) ? job.stages : [];
  const { stage1, stage2, stage3 } = recipe;
  const metadata = await resolveMetadata(folder);
  const tokenizer = await readTokenizer(folder);
  if (tokenizer === undefined) {
    throw new SpeedqError(
      'invalid-tokenizer',
      `${folder.path} has no tokenizer.json (nor vocab.json and merges.txt), which training needs. ` +
        'Download the whole folder of the model, or use --method rtn, which looks at weights alone.',
    );
  }
  const { config } = folder;
  const template = {
    tokenizer,
    tokensPerTile: config.tokensPerTile,
    systemPrompt: metadata.prompt.systemPrompt,
  };
  const byBlocks = !isStaged(method);
  const answersTrain = stages.includes(2) && stage2.objective === 'cross-entropy';
  const wanted = Math.max(
    stages.includes(3) ? stage3.steps * stage3.batchSize : 0,
    answersTrain ? stage2.steps * stage2.batchSize : 0,
    byBlocks || method === 'best' ? recipe.calibration.conversations : 0,
  );
  const wantedPictures = Math.max(
    stages.includes(1) || byBlocks ? stage1.calibrationImages : 0,
    stages.includes(2) ? Math.min(stage2.steps * stage2.batchSize, stage1.calibrationImages) : 0,
  );
  const { sources } = await findSources(job.data);
  reporter.start('reading data', wanted + HELD_OUT);
  const prepared = await prepareSamples({
    ...{ sources, metadata, template, wantedPictures, seed },
    wanted: wanted + HELD_OUT,
    frames: recipe.data,
    maxLength: Math.min(MAX_LENGTH, config.language.maxPositionEmbeddings),
    onSample: (done) => {
      reporter.progress(done);
      stopIfAsked(reporter, 'the reading of data');
    },
  });
  const { samples, pictures, problems } = prepared;
  reporter.finish(`${samples.length} conversations, ${pictures.pictures.length} pictures`);
  if (problems.total > 0) reporter.note(problems.describe());
  reporter.event('data', {
    conversations: samples.length,
    pictures: pictures.pictures.length,
    problems: problems.counts,
  });
  const encoderTrains = stages.includes(1) || (byBlocks && recipe.schemes.vision !== 'float');
  if (encoderTrains && pictures.pictures.length === 0) {
    throw new SpeedqError(
      'invalid-data',
      `${job.data} has no pictures; the vision encoder is calibrated on them. Give some, or pass --scope language.`,
    );
  }
  const kept = samples.length - Math.min(HELD_OUT, Math.floor(samples.length / 10));
  return { ...prepared, samples: samples.slice(0, kept), heldOut: samples.slice(kept) };
}

async function createContext(
  { folder, teacher }: { readonly folder: FloatModelFolder; readonly teacher?: FloatModelFolder },
  job: QuantizeJob,
  { samples, pictures }: Prepared,
  device: Device,
  reporter: Reporter,
): Promise<StageContext> {
  const { recipe, seed, threads, work } = job;
  const { config } = folder;
  const original = await readParameters(folder.tensors, work);
  const schemes = resolveSchemes(recipe, folder.tensors.parameters);
  return {
    ...{ config, recipe, seed, threads, device, work, samples, pictures, reporter, original },
    teacher: teacher
      ? await openTeacherModel(teacher, { samples, pictures }, { work, seed })
      : { config, parameters: original, samples, pictures },
    student: new Student(folder.tensors, schemes, recipe.fixes, original, work),
    checkpoints: new Checkpoints(work, job.checkpointSteps, reporter),
  };
}

/** A run resumes only on the conversations and pictures it began with. */
async function guardData(checkpoints: StageContext['checkpoints'], { hash }: Prepared): Promise<void> {
  const before = await checkpoints.finished('data');
  if (before === undefined) {
    await checkpoints.finish('data', { metadata: { hash }, tensors: new Map() });
  } else if (before.metadata.hash !== hash) {
    throw new SpeedqError(
      'resume-mismatch',
      'The pictures or the tokenizer changed since the unfinished run began. Restore them, or pass --force to start over.',
    );
  }
}

/**
 * Latent weights, two moments, the result and a teacher's weights, roughly: better to say no before the work than in
 * the middle.
 */
async function requireSpace(
  work: string,
  folder: FloatModelFolder,
  teacher?: FloatModelFolder,
): Promise<void> {
  const bytesOf = ({ tensors }: FloatModelFolder) =>
    tensors.parameters.reduce((sum, { shape }) => sum + 4 * elementCount(shape), 0);
  const needed = 5 * bytesOf(folder) + (teacher ? bytesOf(teacher) : 0);
  const { bavail, bsize } = await statfs(work);
  if (bavail * bsize >= needed) return;
  throw new SpeedqError(
    'out-of-space',
    `${work}: quantizing ${folder.name} needs about ${formatBytes(needed)} for checkpoints and result, ` +
      `${formatBytes(bavail * bsize)} are free. Free some, or choose --out on another disk.`,
  );
}

async function writeResult(
  folder: FloatModelFolder,
  job: QuantizeJob,
  student: Student,
  summary: QuantizeSummary,
  reporter: Reporter,
): Promise<PipelineResult> {
  const out = join(job.work, 'result');
  await rm(out, { recursive: true, force: true });
  await mkdir(out);
  reporter.start('packing', 1);
  const manifest = await writePackedModel(
    {
      folder,
      recipe: job.recipe,
      source: student.tensorSource(),
      override: (name) => {
        const packed = student.packedTensor(name);
        return packed && { packed };
      },
    },
    out,
    basename(job.out),
  );
  await writeCheckpointFolder(out, folder, student, job, summary);
  const { method, recipe, seed } = job;
  await writeReport(out, folder, manifest, { method, recipe, seed, summary, history: readHistory(job.work) });
  const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  reporter.finish(formatBytes(bytes));
  return { folder: out, summary, bytes };
}
