/** For tests of this and other packages; not part of what is shipped. */
export { maxDifference, randomFloats } from './harness.ts';
export { instrument } from './instrumented-device.ts';
export {
  TINY_CONFIG,
  packParameters,
  packedSource,
  randomParameters,
  unpackParameters,
} from './tiny-model.ts';
