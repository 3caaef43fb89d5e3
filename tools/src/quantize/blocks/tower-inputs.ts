import { EMBEDDING, visionEmbed } from '@speedq/model';
import { Graph, OnnxOps, Session, parameterInputs, placeFeatures } from '@speedq/onnx';
import type { Parameters } from '@speedq/onnx';
import { createRandom } from '../../data/random.ts';
import { RANDOM, ort } from '../context.ts';
import type { StageContext } from '../context.ts';
import { openVisionFeatures } from '../features.ts';
import { ActivationStore } from './activation-store.ts';
import { parameterFeedsOf, parameterShapes, tileTokens } from './block.ts';
import type { BlockKind } from './block.ts';
import { BlockRunner } from './block-runner.ts';

/** What the first block of a kind is given, item by item: by the student so far, and by the original. */
export interface TowerInputs {
  readonly student: ActivationStore;
  readonly original: ActivationStore;
}

/**
 * Calibration inputs: tiles for the vision encoder (embedded) and the projector (encoded), conversations for the
 * language model (embedded, pictures in place). Which ones, the seed decides.
 */
export async function openTowerInputs(
  context: StageContext,
  kind: BlockKind,
  limit: number,
): Promise<TowerInputs> {
  if (kind === 'vision') return embeddedTiles(context, limit);
  if (kind === 'projector') return encodedTiles(context, limit);
  return embeddedConversations(context, limit);
}

interface Tile {
  readonly picture: number;
  readonly tile: number;
}

function chooseTiles({ pictures, seed }: StageContext, limit: number): Tile[] {
  const order = createRandom(seed, RANDOM.calibration).shuffle([...pictures.pictures.keys()]);
  const tiles: Tile[] = [];
  for (const picture of order) {
    for (let tile = 0; tile < pictures.pictures[picture].tiles && tiles.length < limit; tile++) {
      tiles.push({ picture, tile });
    }
    if (tiles.length >= limit) break;
  }
  return tiles;
}

function stores({ work }: StageContext, sizes: readonly number[]): TowerInputs {
  return { student: new ActivationStore(sizes, work), original: new ActivationStore(sizes, work) };
}

async function embeddedTiles(context: StageContext, limit: number): Promise<TowerInputs> {
  const { config, student, original, pictures, threads } = context;
  const { imageSize, hiddenSize } = config.vision;
  const tokens = tileTokens(config);
  const g = new Graph();
  const ops = new OnnxOps(g, { parameter: parameterInputs(g, config), vision: { tiles: 1, tokens } });
  g.output('y', visionEmbed(ops, config, g.input('pixels', [1, 3, imageSize, imageSize])));
  const session = await Session.create(ort, g.build(), { threads });
  try {
    const tiles = chooseTiles(context, limit);
    const inputs = stores(
      context,
      tiles.map(() => tokens * hiddenSize),
    );
    const shapes = parameterShapes(config);
    const size = 3 * imageSize * imageSize;
    for (const [index, { picture, tile }] of tiles.entries()) {
      const pixels = (await pictures.pixels(picture)).subarray(tile * size, (tile + 1) * size);
      for (const [store, parameters] of [
        [inputs.student, student.parameters],
        [inputs.original, original],
      ] as const) {
        const feeds = parameterFeedsOf(session, shapes, { kind: 'vision', layer: 0 }, parameters);
        feeds.set('pixels', session.float(pixels, [1, 3, imageSize, imageSize]));
        store.write(index, (await session.run(feeds)).get('y')!.data as Float32Array);
      }
    }
    return inputs;
  } finally {
    await session.release();
  }
}

async function encodedTiles(context: StageContext, limit: number): Promise<TowerInputs> {
  const tiles = chooseTiles(context, limit);
  const own = await openVisionFeatures(context, context.student.parameters, 'features-student');
  const original = await openVisionFeatures(context, context.original, 'features-original');
  try {
    const inputs = stores(
      context,
      tiles.map(() => own.tileSize),
    );
    for (const [index, { picture, tile }] of tiles.entries()) {
      const whole = new Float32Array(context.pictures.pictures[picture].tiles * own.tileSize);
      for (const [store, features] of [
        [inputs.student, own],
        [inputs.original, original],
      ] as const) {
        await features.read(picture, whole, []);
        store.write(index, whole.subarray(tile * own.tileSize, (tile + 1) * own.tileSize));
      }
    }
    return inputs;
  } finally {
    await own.release();
    await original.release();
  }
}

async function embeddedConversations(context: StageContext, limit: number): Promise<TowerInputs> {
  const { config, samples, student, original, seed, threads } = context;
  const { hiddenSize } = config.language;
  const chosen = createRandom(seed, RANDOM.calibration, 1)
    .shuffle([...samples])
    .slice(0, limit);
  const inputs = stores(
    context,
    chosen.map(({ ids }) => ids.length * hiddenSize),
  );
  const runner = await BlockRunner.create(config, 'projector', threads);
  try {
    for (const [store, parameters, file] of [
      [inputs.student, student.parameters, 'features-student'],
      [inputs.original, original, 'features-original'],
    ] as const) {
      const features = await openVisionFeatures(context, parameters, file);
      try {
        for (const [index, sample] of chosen.entries()) {
          const parts: Float32Array[] = [];
          for (const picture of sample.pictures) {
            const { tiles } = context.pictures.pictures[picture];
            const encoded = new Float32Array(tiles * features.tileSize);
            await features.read(picture, encoded, []);
            for (let tile = 0; tile < tiles; tile++) {
              const one = encoded.subarray(tile * features.tileSize, (tile + 1) * features.tileSize);
              parts.push(await runner.forward({ kind: 'projector', layer: 0 }, parameters, one));
            }
          }
          store.write(index, embed(context, parameters, sample.ids, parts));
        }
      } finally {
        await features.release();
      }
    }
    return inputs;
  } finally {
    await runner.release();
  }
}

/** Rows of the embedding table, those of picture placeholders replaced by projected features in order. */
function embed(
  { config }: StageContext,
  parameters: Parameters,
  ids: readonly number[],
  tiles: readonly Float32Array[],
): Float32Array {
  const { hiddenSize } = config.language;
  const { tokensPerTile, imageTokenId } = config;
  const table = parameters.get(EMBEDDING)!;
  const { index, mask } = placeFeatures(ids, imageTokenId, tiles.length * tokensPerTile);
  const rows = new Float32Array(ids.length * hiddenSize);
  ids.forEach((id, t) => {
    const feature = Number(index[t]);
    const source = mask[t] === 1 ? tiles[Math.floor(feature / tokensPerTile)] : table;
    const row = mask[t] === 1 ? feature % tokensPerTile : id;
    rows.set(source.subarray(row * hiddenSize, (row + 1) * hiddenSize), t * hiddenSize);
  });
  return rows;
}
