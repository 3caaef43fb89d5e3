import type { InternVLConfig } from '@speedq/model';
import { elementCount, parameterInventory } from '@speedq/model';
import type { OrtModule, Parameters, Partition } from '@speedq/onnx';
import * as onnxruntime from 'onnxruntime-node';
import type { Recipe } from '../recipes/schema.ts';
import type { Checkpoints } from './checkpoints.ts';
import type { PictureSet } from './data/picture-set.ts';
import type { Sample } from './data/samples.ts';
import type { Device } from './device.ts';
import type { Reporter } from './reporter.ts';
import type { Student } from './student.ts';
import type { TeacherModel } from './teacher-model.ts';

export const ort: OrtModule = onnxruntime;

/** What all stages work with. */
export interface StageContext {
  readonly config: InternVLConfig;
  readonly recipe: Recipe;
  readonly student: Student;
  /** The original parameters. */
  readonly original: Parameters;
  /** Who teaches stage 3: the original, or another model of its vocabulary. */
  readonly teacher: TeacherModel;
  readonly samples: readonly Sample[];
  readonly pictures: Pick<PictureSet, 'pictures' | 'pixels'>;
  readonly checkpoints: Pick<Checkpoints, 'finished' | 'finish' | 'underWay' | 'step'>;
  readonly reporter: Reporter;
  readonly seed: number;
  readonly threads: number;
  /** For what trains end to end, and for the models that do not train beside it. */
  readonly device: Device;
  /** Folder for caches. */
  readonly work: string;
}

/** Language models beyond this many weights are run block by block. */
const WHOLE_WEIGHTS = 64e6;

export function partitionFor(config: InternVLConfig): Partition {
  const weights = parameterInventory(config)
    .filter(({ part }) => part === 'language')
    .reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return weights > WHOLE_WEIGHTS ? 'block' : 'whole';
}

/** Seeds of independent random choices: createRandom(seed, one of these, …). */
export const RANDOM = {
  order: 1,
  calibration: 2,
  rounding: 3,
  mixing: 4,
  stage2: 5,
  stage3: 6,
  dropPath: 7,
} as const;
