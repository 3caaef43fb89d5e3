import type { BenchReport, BenchSubject, KernelResult } from '@speedq/kernels/bench';

export interface BenchRequest {
  readonly subject: BenchSubject;
  /** The app's own model, or random layers of the 1B shape. */
  readonly model: 'pico' | '1b' | '1b-1' | '1b-4';
  readonly bits: 2 | 4;
  /** Folder of the page. */
  readonly base: string;
  readonly compare: boolean;
}

export interface BenchResult extends BenchReport {
  readonly measuredModel: BenchRequest['model'];
  readonly adapter: string;
  readonly userAgent: string;
  readonly date: string;
}

export type BenchMessage =
  | { readonly type: 'step'; readonly what: string }
  | { readonly type: 'kernel'; readonly kernel: KernelResult }
  | { readonly type: 'done'; readonly result: BenchResult }
  | { readonly type: 'failed'; readonly message: string };
