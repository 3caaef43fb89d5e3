export { createStreamDecoder } from './tokenizer/stream-decoder.ts';
export type { StreamDecoder } from './tokenizer/stream-decoder.ts';
export { createTokenizer, openTokenizer, tokenizerJsonOf } from './tokenizer/tokenizer.ts';
export type { DecodeOptions, EncodeOptions, Tokenizer, TokenizerFiles } from './tokenizer/tokenizer.ts';
export { CONTROL_TOKENS, MARKUP_TOKENS } from './tokenizer/control-tokens.ts';
export { synthesizeTokenizerJson } from './tokenizer/synthesize.ts';
export type { TokenizerJson } from './tokenizer/synthesize.ts';
export type { AddedToken } from './tokenizer/tokenizer-json.ts';
export { trainByteLevelBpe } from './train-bpe.ts';
export type { TrainBpeOptions, TrainedTokenizer } from './train-bpe.ts';

export {
  IGNORE_INDEX,
  IMAGE_PLACEHOLDER,
  imageTokenCount,
  INTERNVL_SYSTEM_PROMPT,
  parsePlaceholders,
  renderContinuation,
  renderPrompt,
  renderTrainingSample,
  stopTokenIds,
  userContent,
} from './chat-template.ts';
export type { ChatMessage, ContentPart, TemplateOptions, TrainingSample } from './chat-template.ts';
export { assertFitsContext } from './context.ts';

export {
  checkImageSize,
  MAX_IMAGE_BYTES,
  MAX_IMAGE_PIXELS,
  MAX_IMAGE_SIDE,
  rgbFromRgba,
} from './image/rgb-image.ts';
export type { RgbImage } from './image/rgb-image.ts';
export { resizeBicubic } from './image/resize.ts';
export { chooseGrid, MAX_TILES } from './image/grid.ts';
export type { GridOptions, TileGrid } from './image/grid.ts';
export {
  countTiles,
  cutTiles,
  IMAGENET_MEAN,
  IMAGENET_STD,
  normalizeTiles,
  preprocessImage,
} from './image/tiles.ts';
export type { ImageTiles, PreprocessedImage, PreprocessOptions, TilingOptions } from './image/tiles.ts';
export { sniffImage } from './image/sniff.ts';
export type { ImageFormat, ImageSource, SniffedImage } from './image/sniff.ts';
