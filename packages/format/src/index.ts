export { SpeedqError } from './errors.ts';
export type { ErrorCode } from './errors.ts';
export * from './schemes.ts';
export * from './float16.ts';
export * from './bilevel.ts';
export * from './symmetric.ts';
export * from './clip-search.ts';
export * from './pack.ts';
export * from './float-tensor.ts';
