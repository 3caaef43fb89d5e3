/** Benchmarks of the kernels, for the command and for the page; not part of what is shipped. */
export { benchDevice } from './report.ts';
export type { BenchOptions, BenchReport, BenchSubject, DecodeFigures, PrefillFigures } from './report.ts';
export type { DeviceRates } from './device-rates.ts';
export type { KernelResult, LinearCase } from './kernels.ts';
export type { ModelResult } from './end-to-end.ts';
export type { Phase, RecordedLayers } from './layers.ts';
export { INTERNVL3_1B, INTERNVL3_2B } from './shapes.ts';
