import type { Memory } from '../memory.ts';
import type { Feed } from '../session.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import type { QatInputs, QatLoss, QatLosses, ResidentOptions } from './options.ts';

/** The tensors that a step's gradients are written into, in the order of `names`. */
export async function gradientTensors(
  names: readonly string[],
  shapes: ParameterShapes,
  { memory, gradients }: ResidentOptions,
): Promise<Map<string, Feed>> {
  const tensors = new Map<string, Feed>();
  for (const name of names) {
    tensors.set(name, gradients?.get(name) ?? (await memory.zeros(shapes.get(name)!)));
  }
  return tensors;
}

/** Those of them that were made by `gradientTensors`. */
export function freeGradients(
  { memory, gradients }: ResidentOptions,
  tensors: ReadonlyMap<string, Feed>,
): void {
  for (const [name, tensor] of tensors) if (gradients?.get(name) !== tensor) memory.free(tensor);
}

/** Frees the inputs of a run; the teacher's rows are the caller's where they came as a tensor. */
export function freeUploads(
  memory: Memory,
  uploaded: ReadonlyMap<string, Feed>,
  { teacherRows }: Pick<QatInputs, 'teacherRows'>,
): void {
  for (const tensor of uploaded.values()) if (tensor !== teacherRows) memory.free(tensor);
}

export function sumOfLosses({ ceWeight, kdWeight }: QatLoss, ce: number, kd: number): QatLosses {
  return { ce, kd, total: ceWeight * ce + kdWeight * kd };
}
