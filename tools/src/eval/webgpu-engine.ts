import { createWebGPUModel } from '@speedq/kernels';
import { requestNodeDevice } from '@speedq/kernels/node';
import type { ModelFolder } from '../model-folder.ts';
import { contextOf } from './engine.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { RuntimeEngine } from './runtime-engine.ts';
import { storedWeights } from './stored-weights.ts';

/**
 * The kernels that the web page runs, through Dawn: packed weights as they are stored, float ones as float32.
 * @throws {SpeedqError} `no-webgpu`, and what the model's loading throws.
 */
export async function openWebGPUEngine(folder: ModelFolder, options: EngineOptions = {}): Promise<Engine> {
  const { config } = folder;
  const node = options.device ?? (await requestNodeDevice({ limits: 'adapter' }));
  const maxContext = contextOf(config.language.maxPositionEmbeddings, options);
  const model = await createWebGPUModel(node.device, config, await storedWeights(folder), { maxContext });
  const { description, architecture, vendor } = node.info;
  return new RuntimeEngine(model, {
    kind: 'webgpu',
    description: description || `${vendor} ${architecture}`.trim() || 'unnamed adapter',
    isSoftware: node.isSoftware,
    vocabSize: config.language.vocabSize,
    ...(options.device === undefined && { release: () => node.device.destroy() }),
  });
}
