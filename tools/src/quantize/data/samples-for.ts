import { IGNORE_INDEX } from '@speedq/processor';
import type { InternVLConfig } from '@speedq/model';
import type { ModelMetadata } from '../../packing/metadata.ts';
import { PictureSet } from './picture-set.ts';
import type { Sample } from './samples.ts';

/**
 * The same conversations for another model of the vocabulary they are written in: token by token the same text,
 * behind pictures cut as that model has them, with its visual tokens of each tile. A picture has the largest number
 * of tiles that it was given before, as far as the model takes as many, and is augmented where it was.
 */
export async function samplesFor(
  {
    samples,
    pictures,
  }: { readonly samples: readonly Sample[]; readonly pictures: Pick<PictureSet, 'pictures'> },
  { imageTokenId, tokensPerTile }: Pick<InternVLConfig, 'imageTokenId' | 'tokensPerTile'>,
  metadata: Pick<ModelMetadata, 'tiling' | 'normalization'>,
  seed: number,
): Promise<{ readonly samples: readonly Sample[]; readonly pictures: PictureSet }> {
  const own = new PictureSet(metadata, seed);
  const indexes: number[] = [];
  for (const { path, maxTiles, augmentation } of pictures.pictures) {
    indexes.push(await own.add(path, Math.min(maxTiles, metadata.tiling.maxTiles), augmentation));
  }
  return {
    pictures: own,
    samples: samples.map((sample) => {
      const used = sample.pictures.map((picture) => indexes[picture]);
      const tiles = used.map((picture) => own.pictures[picture].tiles);
      return {
        ...withVisualTokens(
          sample,
          imageTokenId,
          tiles.map((count) => count * tokensPerTile),
        ),
        pictures: used,
        tiles: tiles.reduce((sum, count) => sum + count, 0),
      };
    }),
  };
}

/** Each picture's run of visual tokens, of which none borders on another's, with as many as `counts` says. */
function withVisualTokens(
  { ids, labels }: Pick<Sample, 'ids' | 'labels'>,
  imageTokenId: number,
  counts: readonly number[],
): Pick<Sample, 'ids' | 'labels'> {
  const found: { ids: number[]; labels: number[] } = { ids: [], labels: [] };
  let picture = 0;
  ids.forEach((id, t) => {
    if (id !== imageTokenId) {
      found.ids.push(id);
      found.labels.push(labels[t]);
    } else if (ids[t - 1] !== imageTokenId) {
      for (let i = 0; i < counts[picture]; i++) {
        found.ids.push(imageTokenId);
        found.labels.push(IGNORE_INDEX);
      }
      picture++;
    }
  });
  return found;
}
