import type { Scheme } from '@speedq/format';
import type { Grid } from './grid.ts';
import type { Need, Program } from './program.ts';
import type { CaseOptions, VariantChoice, Variants } from './variants.ts';
import { chosenVariant } from './variants.ts';

/** Row count of an activation: `perCount` · count + `fixed`, count being tokens or tiles of the run. */
export interface Rows {
  readonly perCount: number;
  readonly fixed: number;
}

export const ONE_ROW: Rows = { perCount: 0, fixed: 1 };

export function rowCount(rows: Rows, count: number): number {
  return rows.perCount * count + rows.fixed;
}

/** The row count as WGSL expression. */
export function rowsExpression({ perCount, fixed }: Rows): string {
  return perCount === 0 ? `${fixed}u` : `(params.count * ${perCount}u + ${fixed}u)`;
}

/** An activation [rows, width] of 32-bit values; the planner decides where it lies unless `buffer` is given. */
export interface Value {
  readonly label: string;
  readonly rows: Rows;
  readonly width: number;
  readonly buffer?: GPUBuffer;
  /** Columns from `offset` on of another value, which is what a dispatch binds. */
  readonly slice?: { readonly of: Value; readonly offset: number };
}

/** A buffer that may be replaced by a larger one; plans that bind it must then be rebound. */
export class BufferRef {
  buffer: GPUBuffer;

  constructor(buffer: GPUBuffer) {
    this.buffer = buffer;
  }
}

export type Resource = Value | GPUBuffer | BufferRef;

export interface Dispatch {
  readonly program: Program;
  readonly resources: readonly Resource[];
  readonly grid: (count: number) => Grid;
  readonly work?: Work;
}

/** A run of a plan: its tokens or tiles, and the tokens in the KV cache before it. */
export interface Run {
  readonly count: number;
  readonly past: number;
}

/** What a dispatch is for, and what it must move and compute, for benchmarks. */
export interface Work {
  readonly what: string;
  /** Bytes read and written, each once; multiplications and additions. */
  of(run: Run): { readonly bytes: number; readonly operations: number };
  /** x [rows, inputs] times a stored matrix [out, inputs]. */
  readonly linear?: {
    readonly scheme: Scheme;
    readonly rows: Rows;
    readonly inputs: number;
    readonly out: number;
  };
}

/** Of all rows of an activation. */
export function valueBytes({ rows, width }: Value, count: number): number {
  return rowCount(rows, count) * width * 4;
}

/** One of the ways to compute a case. */
export interface CaseVariant {
  readonly name: string;
  readonly needs: readonly Need[];
  readonly tolerance: number;
  readonly dispatches: () => readonly Dispatch[];
}

/** An op on shapes of its own, and all variants that suit them, the plain one first. */
export interface VariantCase {
  readonly op: string;
  readonly key: string;
  readonly variants: readonly CaseVariant[];
  readonly output: Value;
}

/**
 * `work`: where it is not to read or write every resource once.
 * @throws where the resources are not what the program binds; undefined ones are left out.
 */
export function dispatchOf(
  program: Program,
  resources: readonly (Resource | undefined)[],
  grid: (count: number) => Grid,
  work?: Work,
): Dispatch {
  const present = resources.filter((resource) => resource !== undefined);
  if (present.length !== program.bindings.length) {
    throw new Error(`${program.label}: ${present.length} resources for ${program.bindings.length} bindings`);
  }
  if (present.some((resource) => isValue(resource) && resource.slice !== undefined)) {
    throw new Error(`${program.label}: a slice cannot be bound, only what it is a slice of`);
  }
  return { program, resources: present, grid, work };
}

export function isValue(resource: Resource): resource is Value {
  return 'width' in resource && 'rows' in resource;
}

/** Collects the dispatches of a plan. `maxCount` bounds the count of every run. */
export class Recorder {
  readonly maxCount: number;
  readonly params: GPUBuffer;
  /** Which variants of the programs the plan takes. */
  readonly variants: VariantChoice;
  readonly dispatches: Dispatch[] = [];
  /** The first of each case that has variants, by key. */
  readonly cases = new Map<string, VariantCase>();
  readonly #kept = new Map<Value, GPUBuffer>();
  readonly #inputs = new Set<Value>();
  readonly #outputs = new Set<Value>();

  constructor(maxCount: number, params: GPUBuffer, variants: VariantChoice = {}) {
    this.maxCount = maxCount;
    this.params = params;
    this.variants = variants;
  }

  /** A new activation, living from the first dispatch that names it to the last. */
  value(label: string, rows: Rows, width: number): Value {
    return { label, rows, width };
  }

  /** An activation that is written before each run, and so lives from its start. */
  input(label: string, rows: Rows, width: number): Value {
    const value = this.value(label, rows, width);
    this.#inputs.add(value);
    return value;
  }

  /** Marks an activation that is read after each run, before the next run of any plan. */
  output(value: Value): void {
    this.#outputs.add(value);
  }

  isInput(value: Value): boolean {
    return this.#inputs.has(value);
  }

  isOutput(value: Value): boolean {
    return this.#outputs.has(value);
  }

  /** Columns [offset, offset+width) of an activation. */
  slice(of: Value, label: string, offset: number, width: number): Value {
    return { label, rows: of.rows, width, slice: { of, offset } };
  }

  /** Puts an activation that must outlive the run into a buffer of its own. */
  keep(value: Value, buffer: GPUBuffer): void {
    this.#kept.set(value, buffer);
  }

  /** The buffer of a value the planner need not place. */
  fixedBuffer(value: Value): GPUBuffer | undefined {
    return value.buffer ?? this.#kept.get(value);
  }

  /** `work`: where it is not to read or write every resource once. */
  dispatch(
    program: Program,
    resources: readonly (Resource | undefined)[],
    grid: (count: number) => Grid,
    work?: Work,
  ): void {
    this.dispatches.push(dispatchOf(program, resources, grid, work));
  }

  /** The dispatches of the variant that is chosen for the case, which is remembered with all that suit it. */
  dispatchVariant<T>(
    variants: Variants<T>,
    options: CaseOptions<T> & { readonly output: Value },
    dispatches: (variant: T) => readonly Dispatch[],
  ): void {
    const { op, key, suits = () => true, output } = options;
    this.dispatches.push(...dispatches(chosenVariant(this.variants, variants, options)));
    if (this.cases.has(key)) return;
    const suited = Object.entries(variants).filter(([, variant]) => suits(variant.options));
    this.cases.set(key, {
      op,
      key,
      output,
      variants: suited.map(([name, variant]) => ({
        name,
        needs: variant.needs,
        tolerance: variant.tolerance,
        dispatches: () => dispatches(variant.options),
      })),
    });
  }
}
