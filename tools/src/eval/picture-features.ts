import type { EncodedPrompt, ImageFeaturesHandle, Picture } from '@speedq/runtime';
import type { Engine } from './engine.ts';

/** The features of pictures, each encoded once. */
export class PictureFeatures {
  private readonly engine: Engine;
  private readonly known = new Map<Picture, ImageFeaturesHandle>();

  constructor(engine: Engine) {
    this.engine = engine;
  }

  /** Of the pictures of a prompt, in order. */
  async of({ images }: EncodedPrompt): Promise<ImageFeaturesHandle[]> {
    const found: ImageFeaturesHandle[] = [];
    for (const { picture } of images) {
      let features = this.known.get(picture);
      if (features === undefined) {
        features = await this.engine.encodeImages(picture.pixels, picture.tiles);
        this.known.set(picture, features);
      }
      found.push(features);
    }
    return found;
  }

  /** Frees the others. */
  keep(pictures: readonly Picture[]): void {
    for (const [picture, features] of this.known) {
      if (pictures.includes(picture)) continue;
      features.destroy();
      this.known.delete(picture);
    }
  }
}
