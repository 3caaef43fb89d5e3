import type { FloatModelFolder } from '../model-folder.ts';
import type { Recipe } from '../recipes/schema.ts';
import type { Workload } from '../recipes/workload.ts';
import { isStaged } from './methods/names.ts';
import type { Method } from './methods/names.ts';
import { IGNORED } from '@speedq/onnx';
import { prepareData } from './pipeline.ts';

/** What a run reads of `data`, counted. Throws what the run would, such as `invalid-data`. */
export async function countWorkload(
  folder: FloatModelFolder,
  recipe: Recipe,
  method: Method,
  data: string,
  signal: AbortSignal,
): Promise<Workload> {
  const nothing = () => undefined;
  const job = {
    ...{ recipe, data, seed: 0, method: method === 'rtn' ? ('clip' as const) : method },
    stages: isStaged(method) ? ([1, 2, 3] as const) : [],
  };
  const { samples, heldOut, pictures } = await prepareData(folder, job, {
    ...{ start: nothing, progress: nothing, finish: nothing, note: nothing, event: nothing },
    stopRequested: () => signal.aborted,
  });
  const mean = (of: (sample: (typeof samples)[number]) => number) =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / Math.max(1, samples.length);
  return {
    tiles: pictures.pictures.reduce((sum, { tiles }) => sum + tiles, 0),
    conversations: samples.length,
    heldOut: heldOut.length,
    tokens: mean(({ ids }) => ids.length),
    answers: mean(({ labels }) => labels.filter((label) => label !== IGNORED).length),
  };
}
