import { shardFileBytes, shardIndex } from '@speedq/format';
import type { ManifestFile, ShardPlan } from '@speedq/format';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelFolder } from '../model-folder.ts';
import { INDEX_FILE } from '../model-folder/float-weights.ts';
import type { Recipe } from '../recipes/schema.ts';
import { packedConfig, sideFiles } from './pack-model.ts';

type PredictedFile = Pick<ManifestFile, 'name' | 'bytes'>;

/** The files that packing by this plan will list in the manifest, to the byte and in its order. */
export async function predictFiles(
  folder: ModelFolder,
  recipe: Recipe,
  plan: ShardPlan,
): Promise<PredictedFile[]> {
  const encoder = new TextEncoder();
  const text = (name: string, content: string) => ({ name, bytes: encoder.encode(content).length });
  const copied = sideFiles(folder).map(async (name) => ({
    name,
    bytes: (await stat(join(folder.path, name))).size,
  }));
  return [
    text('config.json', packedConfig(folder, recipe)),
    ...(await Promise.all(copied)),
    ...plan.shards.map((shard) => ({ name: shard.file, bytes: shardFileBytes(shard) })),
    text(INDEX_FILE, shardIndex(plan)),
  ];
}
