export { allocateBits } from './allocate.ts';
export { parseTarget } from './target.ts';
