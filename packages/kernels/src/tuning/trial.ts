import { Allocator } from '../engine/allocator.ts';
import { bufferUsage } from '../engine/constants.ts';
import { PipelineCache } from '../engine/pipelines.ts';
import { Plan } from '../engine/plan.ts';
import type { Program } from '../engine/program.ts';
import { PARAMS_BYTES } from '../engine/program.ts';
import { readFloats } from '../engine/readback.ts';
import type { Dispatch, Resource, Value, VariantCase } from '../engine/recorder.ts';
import { BufferRef, Recorder, isValue, rowCount } from '../engine/recorder.ts';
import type { TimedRun } from './time-steps.ts';
import { Stopwatch } from './time-steps.ts';

/** A case as a plan recorded it, and a run of that plan: new tokens or tiles, and tokens before them. */
export interface TrialCase {
  readonly variantCase: VariantCase;
  readonly params: GPUBuffer;
  readonly count: number;
  readonly past: number;
  /** How many times larger than recorded a buffer is that grows: for a past beyond its first size. */
  readonly growth: number;
}

const PATTERN_BYTES = 2 ** 18;

/**
 * Words that are sane whatever they are taken for: the whole is a float32 between 1 and 2, the upper half an fp16
 * just below 2, the lower one of 0.5 to 1, and the low bits of both, which most codes lie in, are random.
 */
function saneWords(seed: number): Uint32Array<ArrayBuffer> {
  let state = seed;
  return Uint32Array.from({ length: PATTERN_BYTES / 4 }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 0x3f803800 | ((state >>> 4) & 0x007f03ff);
  });
}

/** Floats in [-1, 1). */
function saneFloats(seed: number): Float32Array<ArrayBuffer> {
  let state = seed;
  return Float32Array.from({ length: PATTERN_BYTES / 4 }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/**
 * Runs the variants of one case on buffers of their own, made up for the occasion: nothing of a model need be
 * loaded. Resources of the recording only say how large those must be.
 */
export class Trial {
  readonly #case: TrialCase;
  readonly #allocator: Allocator;
  readonly #pipelines: PipelineCache;
  readonly #stopwatch: Stopwatch;
  readonly #buffers = new Map<Resource, GPUBuffer>();

  constructor(device: GPUDevice, trialCase: TrialCase) {
    this.#case = trialCase;
    this.#allocator = new Allocator(device);
    this.#pipelines = new PipelineCache(device);
    this.#stopwatch = new Stopwatch(this.#allocator);
  }

  /** Begins to compile; what fails is found by `prepare`. */
  async compile(programs: readonly Program[]): Promise<void> {
    await Promise.allSettled(programs.map((program) => this.#pipelines.get(program)));
  }

  async prepare(dispatches: readonly Dispatch[]): Promise<Plan> {
    const { params, count } = this.#case;
    const recorder = new Recorder(count, this.bufferOf(params));
    for (const { program, resources, grid } of dispatches) {
      const buffers = resources.map((resource) => this.bufferOf(resource));
      recorder.dispatch(program, buffers, grid);
    }
    const everything = (): never => {
      throw new Error('All resources of a trial have buffers');
    };
    return Plan.prepare(this.#allocator.device, this.#pipelines, recorder, everything);
  }

  /** What the case computes, from the same inputs each time. */
  async output(plan: Plan): Promise<Float32Array> {
    // A residual is overwritten by what it is added to.
    for (const [resource, buffer] of this.#buffers) this.fill(resource, buffer);
    const { device } = this.#allocator;
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    plan.encode(pass, this.#case.count);
    pass.end();
    device.queue.submit([encoder.finish()]);
    const { output } = this.#case.variantCase;
    return readFloats(this.#allocator, this.bufferOf(output), this.sizeOf(output) / 4);
  }

  timed(plan: Plan): TimedRun {
    return this.#stopwatch.timed((pass) => plan.encode(pass, this.#case.count));
  }

  destroy(): void {
    this.#stopwatch.destroy();
    this.#allocator.destroy();
  }

  private bufferOf(resource: Resource): GPUBuffer {
    let buffer = this.#buffers.get(resource);
    if (buffer === undefined) {
      const extra = resource === this.#case.params ? bufferUsage.uniform : 0;
      buffer = this.#allocator.storage('trial', this.sizeOf(resource), 'activations', extra);
      this.#buffers.set(resource, buffer);
      this.fill(resource, buffer);
    }
    return buffer;
  }

  private sizeOf(resource: Resource): number {
    if (resource === this.#case.params) return PARAMS_BYTES;
    if (isValue(resource)) return valueBytes(resource, this.#case.count);
    return resource instanceof BufferRef ? resource.buffer.size * this.#case.growth : resource.size;
  }

  private fill(resource: Resource, buffer: GPUBuffer): void {
    const { queue } = this.#allocator.device;
    const { params, count, past } = this.#case;
    if (resource === params) {
      queue.writeBuffer(buffer, 0, Uint32Array.of(count, past, 0, 0));
      return;
    }
    const pattern = isValue(resource) ? saneFloats(buffer.size) : saneWords(buffer.size);
    for (let at = 0; at < buffer.size; at += PATTERN_BYTES) {
      queue.writeBuffer(buffer, at, pattern, 0, Math.min(PATTERN_BYTES, buffer.size - at) / 4);
    }
  }
}

function valueBytes({ rows, width }: Value, count: number): number {
  return Math.max(1, rowCount(rows, count)) * width * 4;
}
