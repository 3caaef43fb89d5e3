import { chooseBilevel, encodeScales, isPackedBilevel, quantizeBilevel, unpackBilevel } from '@speedq/format';
import { learnedNames } from '@speedq/onnx';
import type { Student } from './student.ts';

/** Scales and zero points as parameters of the student, for as long as stage 3 trains them. */

/** Their names. */
export function learnedOf(weights: Iterable<string>): string[] {
  return [...weights].flatMap((weight) => Object.values(learnedNames(weight)));
}

/** From the codes that a weight was settled to, and its values before; else from its extremes. */
export function openScales(student: Student, weight: string): void {
  const [rows, columns] = student.spec(weight).shape;
  const packed = student.packedTensor(weight);
  const values = student.latents.get(weight) ?? student.parameters.get(weight)!;
  const { scale, zero, offset } =
    packed !== undefined && isPackedBilevel(packed)
      ? unpackBilevel(packed)
      : chooseBilevel(values, rows, columns, student.bilevelScheme(weight)!, { name: weight });
  const names = learnedNames(weight);
  student.unsettle(weight, values);
  student.parameters.set(names.scale, scale);
  student.parameters.set(names.zero, offset ?? Float32Array.from(zero));
}

/**
 * What the learning rate of each is multiplied with: that of scales and minima is `share` of the weights', and that
 * of zero points, which count in codes, is as far as that goes in weights.
 */
export function scaleRates(
  student: Student,
  weights: Iterable<string>,
  share: number,
): ReadonlyMap<string, number> {
  const rates = new Map<string, number>();
  for (const weight of weights) {
    const names = learnedNames(weight);
    const scale = student.parameters.get(names.scale)!;
    const unit = scale.reduce((sum, value) => sum + value, 0) / scale.length;
    const isMinimum = student.bilevelScheme(weight)!.zero === 'minimum';
    rates.set(names.scale, share).set(names.zero, isMinimum ? share : share / unit);
  }
  return rates;
}

/** The final codes under the learned scales, which end as parameters. */
export function settleScales(student: Student, weight: string): void {
  const [rows, columns] = student.spec(weight).shape;
  const { parameters } = student;
  const names = learnedNames(weight);
  const [scale, zero] = [parameters.get(names.scale)!, parameters.get(names.zero)!];
  const settled = encodeScales(scale, zero, rows, columns, student.bilevelScheme(weight)!, weight);
  student.setBilevel(weight, { ...settled, codes: quantizeBilevel(parameters.get(weight)!, settled) });
  parameters.delete(names.scale);
  parameters.delete(names.zero);
}
