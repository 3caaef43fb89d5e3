import { VisionForward } from '@speedq/onnx';
import type { Parameters } from '@speedq/onnx';
import { createRandom } from '../data/random.ts';
import { RANDOM, ort } from './context.ts';
import type { StageContext } from './context.ts';
import type { FrozenParameters } from './device.ts';
import { FeatureStore } from './feature-store.ts';
import { tileTokens } from './blocks/block.ts';
import { withChanges } from './parameter-store.ts';

/** Features of a batch's pictures, pre-projector, tile after tile. */
export interface VisionFeatures {
  /** Values of one tile: tokens · hidden. */
  readonly tileSize: number;
  /** Fills `target` with the picture's tiles; `draw` tells apart uses of the same picture, for drop-path. */
  read(picture: number, target: Float32Array, draw: readonly number[]): Promise<void>;
  release(): Promise<void>;
}

export type EncoderContext = Pick<StageContext, 'config' | 'pictures' | 'threads' | 'work' | 'device'>;

/** The frozen vision encoder with `parameters`; `file` names its cache. */
export async function openVisionFeatures(
  { config, pictures, threads, work, device }: EncoderContext,
  parameters: Parameters,
  file: string,
): Promise<VisionFeatures> {
  const { provider: executionProvider, frozen: storage } = device;
  const vision = await VisionForward.create(ort, config, { threads, executionProvider, storage });
  // Only if there is a picture whose features are not in the file yet.
  let frozen: Promise<FrozenParameters> | undefined;
  const tileSize = tileTokens(config) * config.vision.hiddenSize;
  const store = await FeatureStore.create({
    sizes: pictures.pictures.map(({ tiles }) => tiles * tileSize),
    compute: async (index) => {
      frozen ??= device.openFrozen(config, parameters, { parts: ['vision'], storage });
      const { values } = await frozen;
      return vision.run(values, await pictures.pixels(index), pictures.pictures[index].tiles);
    },
    folder: work,
    file,
  });
  return {
    tileSize,
    read: (picture, target) => store.read(picture, target),
    async release() {
      store.close();
      await vision.release();
      (await frozen)?.release();
    },
  };
}

/** InternViT-300M's; Hugging Face-layout configurations do not carry it. */
const DROP_PATH_RATE = 0.1;

/**
 * The reference's encoder: frozen, but with drop-path left on (flaw 7). Each residual branch of each tile is
 * dropped with a probability that rises with the layer, and scaled up otherwise, so nothing can be kept.
 * A branch is multiplied through its layer scale.
 */
export async function openDropPathFeatures(
  { config, pictures, threads, seed }: StageContext,
  parameters: Parameters,
): Promise<VisionFeatures> {
  const vision = await VisionForward.create(ort, config, { threads });
  const { numLayers, imageSize } = config.vision;
  const tileSize = tileTokens(config) * config.vision.hiddenSize;
  const pixelsPerTile = 3 * imageSize * imageSize;
  return {
    tileSize,
    async read(picture, target, draw) {
      const pixels = await pictures.pixels(picture);
      for (let tile = 0; tile < pictures.pictures[picture].tiles; tile++) {
        const random = createRandom(seed, RANDOM.dropPath, ...draw, tile);
        const scaled = new Map<string, Float32Array>();
        for (let layer = 0; layer < numLayers; layer++) {
          const keep = 1 - (numLayers === 1 ? 0 : (DROP_PATH_RATE * layer) / (numLayers - 1));
          for (const branch of ['lambda_1', 'lambda_2']) {
            const name = `vision_tower.encoder.layer.${layer}.${branch}`;
            const factor = random.chance(keep) ? 1 / keep : 0;
            scaled.set(
              name,
              parameters.get(name)!.map((value) => value * factor),
            );
          }
        }
        const part = pixels.subarray(tile * pixelsPerTile, (tile + 1) * pixelsPerTile);
        target.set(await vision.run(withChanges(parameters, scaled), part, 1), tile * tileSize);
      }
    },
    release: () => vision.release(),
  };
}
