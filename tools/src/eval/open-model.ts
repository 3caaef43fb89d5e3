import { SpeedqError } from '@speedq/format';
import { preprocessImage } from '@speedq/processor';
import type { RgbImage, TemplateOptions, Tokenizer } from '@speedq/processor';
import { createCodec } from '@speedq/runtime';
import type { ChatCodec, Picture } from '@speedq/runtime';
import { withModelFolder } from '../model-folder.ts';
import { readTokenizer, resolveMetadata } from '../packing/metadata.ts';
import { openCpuEngine } from './cpu-engine.ts';
import type { Engine, EngineKind, EngineOptions } from './engine.ts';
import { openWasmEngine } from './wasm-engine.ts';

/** A model ready to answer: an engine and what turns pictures and text into its input and back. */
export interface OpenModel {
  readonly name: string;
  readonly kind: 'float' | 'packed';
  readonly engine: Engine;
  readonly codec: ChatCodec;
  readonly tokenizer: Tokenizer;
  /** Of training samples and prompts. */
  readonly template: TemplateOptions;
  /** `maxTiles`: other than the model's own. @throws {SpeedqError} `invalid-image`. */
  toPicture(image: RgbImage, maxTiles?: number): Picture;
}

/**
 * Opens a float or packed folder on an engine. 'auto': WebGPU on a graphics card, else the CPU.
 * @throws {SpeedqError} what opening the folder throws; `invalid-tokenizer`, `no-webgpu`.
 */
export async function openModel(
  path: string,
  kind: EngineKind | 'auto',
  options: EngineOptions = {},
): Promise<OpenModel> {
  return withModelFolder(path, async (folder) => {
    const tokenizer = await readTokenizer(folder);
    if (tokenizer === undefined) {
      throw new SpeedqError(
        'invalid-tokenizer',
        `${folder.path} has no tokenizer: expected tokenizer.json, or vocab.json with merges.txt.`,
      );
    }
    const metadata = await resolveMetadata(folder);
    const { tiling, normalization } = metadata;
    const engine = await openEngine();

    async function openEngine(): Promise<Engine> {
      if (kind === 'cpu') return openCpuEngine(folder, options);
      if (kind === 'wasm') return openWasmEngine(folder, options);
      return openOnGPU();
    }

    async function openOnGPU(): Promise<Engine> {
      // Dawn is loaded only where it is wanted.
      const { openWebGPUEngine } = await import('./webgpu-engine.ts');
      if (kind === 'webgpu') return openWebGPUEngine(folder, options);
      const { requestNodeDevice } = await import('@speedq/kernels/node');
      const node = await requestNodeDevice().catch((error: unknown) => {
        if (error instanceof SpeedqError && error.code === 'no-webgpu') return undefined;
        throw error;
      });
      node?.device.destroy();
      return node === undefined || node.isSoftware
        ? openCpuEngine(folder, options)
        : openWebGPUEngine(folder, options);
    }

    return {
      name: folder.name,
      kind: folder.kind,
      engine,
      codec: createCodec(metadata, tokenizer),
      tokenizer,
      template: {
        tokenizer,
        tokensPerTile: metadata.tokensPerTile,
        systemPrompt: metadata.prompt.systemPrompt,
      },
      toPicture(image, maxTiles = tiling.maxTiles) {
        const options = { ...tiling, maxTiles, ...normalization };
        const { tiles, pixelValues } = preprocessImage(image, options);
        return { tiles, pixels: pixelValues };
      },
    };
  });
}
