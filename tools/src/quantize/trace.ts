import {
  SpeedqError,
  dequantizeBilevel,
  encodeScales,
  fakeQuantizeBilevel,
  quantizeBilevel,
} from '@speedq/format';
import { learnedNames } from '@speedq/onnx';
import type { Parameters } from '@speedq/onnx';
import { blockLabel, blocksOf } from './blocks/block.ts';
import type { Block } from './blocks/block.ts';
import { BlockRunner } from './blocks/block-runner.ts';
import { openTowerInputs } from './blocks/tower-inputs.ts';
import type { StageContext } from './context.ts';
import { withChanges } from './parameter-store.ts';
import type { Student } from './student.ts';

/** Largest magnitude of a block's output; NaN or infinite where the trouble is. */
interface TracedLayer {
  readonly layer: string;
  readonly largest: number;
}

/**
 * Where a training that diverged stops being finite: parameters first, then the language model layer by layer on
 * one conversation, as it is fake-quantized. One line, and the layers as an event.
 */
export async function traceDivergence(
  context: StageContext,
  gradients: ReadonlyMap<string, Float32Array>,
): Promise<string> {
  const { student, reporter } = context;
  const broken = (names: Iterable<string>, values: Parameters) =>
    [...names].filter((name) => !values.get(name)!.every(Number.isFinite));
  const parameters = broken(student.allNames(), student.parameters);
  const wrongGradients = broken(gradients.keys(), gradients);
  let layers: TracedLayer[] = [];
  let refused = '';
  try {
    if (parameters.length === 0) layers = await traceLayers(context);
  } catch (error) {
    // Weights that have grown beyond what the scheme stores.
    if (!(error instanceof SpeedqError)) throw error;
    refused = error.message;
  }
  reporter.event('trace', { parameters, gradients: wrongGradients, layers });
  if (parameters.length > 0) return `Not finite is the parameter ${parameters[0]}.`;
  if (refused !== '') return `It begins in the weights: ${refused}`;
  const first = layers.find(({ largest }) => !Number.isFinite(largest));
  const all = layers.map(({ layer, largest }) => `${layer} ${largest.toPrecision(2)}`).join(', ');
  if (first) return `It begins in ${first.layer} (largest magnitudes: ${all}).`;
  const gradient = wrongGradients.length > 0 ? ` The gradient of ${wrongGradients[0]} is not finite.` : '';
  return `All layers are finite going forward (largest magnitudes: ${all}).${gradient}`;
}

async function traceLayers(context: StageContext): Promise<TracedLayer[]> {
  const { config, student, threads } = context;
  const inputs = await openTowerInputs(context, 'language', 1);
  const runner = await BlockRunner.create(config, 'language', threads);
  try {
    const layers: TracedLayer[] = [];
    let x = inputs.student.read(0);
    layers.push({ layer: 'embedding', largest: largestOf(x) });
    for (const block of blocksOf(config, 'language')) {
      x = await runner.forward(block, withChanges(student.parameters, fakeQuantized(student, block)), x);
      layers.push({ layer: blockLabel(block), largest: largestOf(x) });
    }
    return layers;
  } finally {
    await runner.release();
    inputs.student.close();
    inputs.original.close();
  }
}

/** The block's weights as the forward pass of training sees them, where they are not settled. */
function fakeQuantized(student: Student, { layer }: Block): Map<string, Float32Array> {
  const { parameters } = student;
  const changed = new Map<string, Float32Array>();
  for (const name of student.bilevelNames('language')) {
    if (student.spec(name).layer !== layer || student.packedTensor(name) !== undefined) continue;
    const [rows, columns] = student.spec(name).shape;
    const scheme = student.bilevelScheme(name)!;
    const values = parameters.get(name)!;
    const learned = learnedNames(name);
    const scale = parameters.get(learned.scale);
    if (scale === undefined) {
      changed.set(name, fakeQuantizeBilevel(values, rows, columns, scheme, { name }).values);
    } else {
      const chosen = encodeScales(scale, parameters.get(learned.zero)!, rows, columns, scheme, name);
      changed.set(name, dequantizeBilevel(quantizeBilevel(values, chosen), chosen));
    }
  }
  return changed;
}

/** NaN counts as larger than anything. */
function largestOf(values: Float32Array): number {
  let largest = 0;
  for (const value of values) {
    const magnitude = Math.abs(value);
    if (!(magnitude <= largest)) largest = magnitude;
    if (Number.isNaN(magnitude)) return NaN;
  }
  return largest;
}
