import { floatWeights } from '@speedq/kernels';
import type { WeightSource } from '@speedq/kernels';
import { packedWeights } from '@speedq/runtime';
import { openModelFolder as openPackedFiles } from '@speedq/runtime/node';
import type { ModelFolder } from '../model-folder.ts';

/** Weights for the engines of the browser: packed as they are stored, float32 of a float folder. */
export async function storedWeights(folder: ModelFolder): Promise<WeightSource> {
  if (folder.kind === 'packed') return packedWeights(await openPackedFiles(folder.path));
  return floatWeights(folder.config, (name) => folder.tensors.read(name));
}
