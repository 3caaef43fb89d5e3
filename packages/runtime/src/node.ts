/** The same API in Node, on Dawn: needs the package `webgpu`, and `sharp` for pictures. */
import { LanguageModel as PageLanguageModel } from './language-model.ts';
import { nodePlatform } from './node-platform.ts';

export * from './index.ts';
export { folderStorage } from './loading/node-storage.ts';
export { openModelFolder } from './model-folder.ts';

/** `model` may be a packed model's folder on disk; pictures are bytes of a picture file or a Blob. */
export class LanguageModel extends PageLanguageModel {
  protected static override readonly platform = nodePlatform;
}
