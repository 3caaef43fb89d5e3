import { WasmModel } from '@speedq/wasm';
import type { ModelFolder } from '../model-folder.ts';
import { contextOf } from './engine.ts';
import type { Engine, EngineOptions } from './engine.ts';
import { RuntimeEngine } from './runtime-engine.ts';
import { storedWeights } from './stored-weights.ts';

/** What browsers without WebGPU run: packed weights as they are stored, one thread. */
export async function openWasmEngine(folder: ModelFolder, options: EngineOptions = {}): Promise<Engine> {
  const { config } = folder;
  const maxContext = contextOf(config.language.maxPositionEmbeddings, options);
  const model = await WasmModel.create(config, await storedWeights(folder), { maxContext });
  return new RuntimeEngine(model, {
    kind: 'wasm',
    description: 'WebAssembly SIMD, one thread',
    isSoftware: false,
    vocabSize: config.language.vocabSize,
  });
}
