export { isRetryable, SpeedqError } from './errors.ts';
export type { ErrorCode } from './errors.ts';

export {
  BILEVEL_2BIT_G128,
  BILEVEL_2BIT_G16,
  BILEVEL_2BIT_G16_MIN,
  BILEVEL_3BIT_G16,
  BILEVEL_4BIT_G32,
  BILEVEL_4BIT_G32_QQ16,
  FLOAT16,
  FLOAT32,
  SCHEMES,
  SYMMETRIC_4BIT,
  bilevelLayout,
  bitsPerWeight,
  checkScheme,
  maxCode,
  namedScheme,
  packedBytes,
  panelMetaWords,
  schemeName,
  symmetricCentre,
} from './schemes.ts';
export type {
  BilevelLayout,
  BilevelName,
  BilevelScheme,
  FloatScheme,
  Scheme,
  SchemeName,
  SymmetricName,
  SymmetricScheme,
} from './schemes.ts';

export {
  chooseBilevel,
  clampToRange,
  dequantizeBilevel,
  fakeQuantizeBilevel,
  gradientMask,
  groupRange,
  quantizeBilevel,
  quantizeBilevelTensor,
  zeroPoints,
} from './bilevel.ts';
export type { BilevelOptions, BilevelParameters, BilevelTensor, GroupRange } from './bilevel.ts';
export { encodeScales } from './encode-scales.ts';
export { dequantizeSymmetric, quantizeSymmetric } from './symmetric.ts';
export type { SymmetricOptions, SymmetricTensor } from './symmetric.ts';
export { accumulateGram, CANDIDATES, searchClipRange } from './clip-search.ts';
export type { CandidateScorer, ClipSearchOptions, ScorerTask } from './clip-search.ts';

export {
  checkPackedValues,
  isPackedBilevel,
  isPackedFloat,
  isPackedSymmetric,
  packBilevel,
  packSymmetric,
  unpackBilevel,
  unpackSymmetric,
  unpackToFloat,
} from './pack.ts';
export type { PackedBilevel, PackedFloat, PackedSymmetric, PackedTensor } from './pack.ts';
export { chooseFloatScheme, packFloat } from './float-tensor.ts';
export { packWeight } from './pack-weight.ts';

export {
  HALF_MAX,
  HALF_MIN_NORMAL,
  bfloatToFloat,
  bfloatsToFloats,
  floatToBfloat,
  floatToHalf,
  floatsToBfloats,
  floatsToHalves,
  halfToFloat,
  halvesToFloats,
  roundHalfToEven,
  roundToHalf,
} from './float16.ts';

export {
  SIZE_PREFIX_BYTES,
  bytesAs,
  declaredBytes,
  parseSafetensors,
  parseSafetensorsHeader,
  requireTensor,
  safetensorsHeader,
  safetensorsHeaderBytes,
  tensorBytes,
  tensorToFloats,
  writeSafetensors,
} from './safetensors.ts';
export type {
  SafetensorsDtype,
  SafetensorsHeader,
  TensorData,
  TensorDeclaration,
  TensorInfo,
} from './safetensors.ts';

export { MANIFEST_FILE, parseManifest, stringifyManifest } from './manifest.ts';
export type {
  ManifestFile,
  ManifestPrompt,
  ManifestTensor,
  ManifestTiling,
  PackedManifest,
  TensorPart,
} from './manifest.ts';
export { planShards, shardFileBytes, shardIndex, writeShards } from './shards.ts';
export type { PlannedTensor, Shard, ShardEntry, ShardOptions, ShardPlan } from './shards.ts';
export { storedTensors } from './stored-tensors.ts';
export type { StoredKind, StoredTensor } from './stored-tensors.ts';
export {
  checkShard,
  expectedEntries,
  locateEntry,
  readPackedTensor,
  sha256,
  verifyFile,
} from './packed-reader.ts';
export type { ExpectedEntry, ShardReader } from './packed-reader.ts';
export { JsonReader } from './json-reader.ts';
export { parseJson } from './json.ts';

export {
  DATA_ALIGNMENT,
  MAX_FILES,
  MAX_GROUP_SIZE,
  MAX_HEADER_BYTES,
  MAX_MANIFEST_BYTES,
  MAX_RANK,
  MAX_SHARD_BYTES,
  MAX_TENSORS,
} from './limits.ts';
