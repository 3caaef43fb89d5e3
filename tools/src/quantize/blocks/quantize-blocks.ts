import { dequantizeBilevel, packBilevel } from '@speedq/format';
import type { BilevelScheme } from '@speedq/format';
import type { StageContext } from '../context.ts';
import { requireFinite } from '../checkpoints.ts';
import type { BlockErrors } from '../job.ts';
import { stopIfAsked } from '../reporter.ts';
import type { State } from '../state-file.ts';
import type { Student } from '../student.ts';
import { ActivationStore } from './activation-store.ts';
import { blockLabel, blocksOf } from './block.ts';
import type { Block, BlockKind } from './block.ts';
import { BlockRunner } from './block-runner.ts';
import { outputError, roundToNearest, withOutcome } from './block-task.ts';
import type { BlockMethod, BlockOutcome, BlockTask, QuantizedWeight } from './block-task.ts';
import { openTowerInputs } from './tower-inputs.ts';

/**
 * Quantizes the blocks of a kind one after the other: each sees what the quantized ones before it yield, and its
 * target is what the original yields. Settles their linears in the student. One block's activations, coming and
 * going, exist at a time. Finished blocks are taken from checkpoints.
 */
export async function quantizeBlocks(
  context: StageContext,
  kind: BlockKind,
  method: BlockMethod,
  /** Calibration items: tiles or conversations. */
  limit: number,
): Promise<BlockErrors[]> {
  const { config, student, original, checkpoints, reporter, threads, work } = context;
  const errors: BlockErrors[] = [];
  const blocks = blocksOf(config, kind);
  if (blocks.every((block) => blockWeights(student, block).size === 0)) return errors;
  const runner = await BlockRunner.create(config, kind, threads);
  let { student: quantizedInput, original: floatInput } = await openTowerInputs(context, kind, limit);
  const through = async (store: ActivationStore, block: Block, parameters: StageContext['original']) => {
    const sizes = Array.from({ length: store.items }, (_, i) => runner.outputSize(store.size(i)));
    const output = new ActivationStore(sizes, work);
    for (let index = 0; index < store.items; index++) {
      output.write(index, await runner.forward(block, parameters, store.read(index)));
    }
    return output;
  };
  try {
    for (const block of blocks) {
      const label = blockLabel(block);
      stopIfAsked(reporter, label);
      const target = await through(floatInput, block, original);
      const weights = blockWeights(student, block);
      const name = `${method.label}-${label.replaceAll(' ', '-')}`;
      const finished = await checkpoints.finished(name);
      if (finished !== undefined) {
        restoreBlock(student, weights, finished);
        errors.push(JSON.parse(finished.metadata.errors) as BlockErrors);
      } else if (weights.size > 0) {
        reporter.start(`${method.label}, ${label} of ${blocks.length}`, method.steps(context.recipe));
        const task: BlockTask = {
          ...{ block, name, context, runner, weights, parameters: student.parameters },
          ...{ quantizedInput, floatInput, target },
        };
        const nearest = await outputError(
          task,
          withOutcome(task.parameters, { tensors: roundToNearest(task) }),
        );
        const outcome = await method.run(task);
        const trained = await outputError(task, withOutcome(task.parameters, outcome));
        requireFinite(trained, name);
        const found = { block: label, nearest, trained };
        settle(student, outcome);
        errors.push(found);
        await checkpoints.finish(name, blockState(outcome, found));
        reporter.event('block', { method: method.label, ...found });
        reporter.finish(`error ${nearest.toPrecision(3)} to nearest, ${trained.toPrecision(3)} so`);
      }
      const next = await through(quantizedInput, block, student.parameters);
      quantizedInput.close();
      floatInput.close();
      [quantizedInput, floatInput] = [next, target];
    }
  } finally {
    quantizedInput.close();
    floatInput.close();
    await runner.release();
  }
  return errors;
}

function blockWeights(student: Student, { kind, layer }: Block): ReadonlyMap<string, QuantizedWeight> {
  return new Map(
    student.bilevelNames(kind).flatMap((name): [string, QuantizedWeight][] => {
      const spec = student.spec(name);
      if (kind !== 'projector' && spec.layer !== layer) return [];
      const scheme = student.bilevelScheme(name) as BilevelScheme;
      return [[name, { scheme, rows: spec.shape[0], columns: spec.shape[1] }]];
    }),
  );
}

function settle(student: Student, { tensors, floats, latents }: BlockOutcome): void {
  for (const [name, values] of floats ?? []) student.parameters.set(name, values);
  for (const [name, tensor] of tensors) student.setBilevel(name, tensor);
  for (const [name, values] of latents ?? []) student.latents.set(name, values);
}

const FLOAT = 'float:';

/** Codes as they are packed, and the values they stand for, which --reference arithmetic does not keep in fp16. */
function blockState({ tensors, floats, latents }: BlockOutcome, errors: BlockErrors): State {
  const saved = new Map<string, Float32Array | Uint32Array>();
  for (const [name, tensor] of tensors) {
    const { codes, meta } = packBilevel(tensor, name);
    saved.set(`${name}.codes`, codes).set(`${name}.meta`, meta);
    saved.set(`${name}.values`, dequantizeBilevel(tensor.codes, tensor));
  }
  for (const [name, values] of floats ?? []) saved.set(FLOAT + name, values);
  for (const [name, values] of latents ?? []) saved.set(`${name}.latent`, values);
  return { metadata: { errors: JSON.stringify(errors) }, tensors: saved };
}

function restoreBlock(
  student: Student,
  weights: ReadonlyMap<string, QuantizedWeight>,
  { tensors }: State,
): void {
  for (const [name, values] of tensors) {
    if (name.startsWith(FLOAT)) student.parameters.set(name.slice(FLOAT.length), values as Float32Array);
  }
  for (const [name, { scheme, rows, columns }] of weights) {
    const codes = tensors.get(`${name}.codes`) as Uint32Array;
    const meta = tensors.get(`${name}.meta`) as Uint32Array;
    const values = tensors.get(`${name}.values`) as Float32Array;
    student.settle(name, { scheme, shape: [rows, columns], codes, meta }, values);
    const latent = tensors.get(`${name}.latent`);
    if (latent instanceof Float32Array) student.latents.set(name, latent);
  }
}
