/** Runs recorded ops alone, for tests and benchmarks: arrays in, arrays out. */
import { Allocator, upload } from '../engine/allocator.ts';
import { MAP_MODE_READ, bufferUsage } from '../engine/constants.ts';
import { withErrorScopes } from '../engine/errors.ts';
import { assignSlots } from '../engine/liveness.ts';
import { PipelineCache } from '../engine/pipelines.ts';
import { Plan } from '../engine/plan.ts';
import { PARAMS_BYTES } from '../engine/program.ts';
import type { Rows, Value } from '../engine/recorder.ts';
import { Recorder, rowCount } from '../engine/recorder.ts';
import type { VariantChoice } from '../engine/variants.ts';
import type { Matrix } from '../ops/linear/weight.ts';
import type { PackedTensor } from '@speedq/format';
import { isPackedBilevel, isPackedFloat, isPackedSymmetric } from '@speedq/format';

export const PER_COUNT: Rows = { perCount: 1, fixed: 0 };

export class OpBench {
  readonly recorder: Recorder;
  readonly allocator: Allocator;

  /** `maxCount` is the plan's capacity, `device` may be shared. */
  constructor(device: GPUDevice, maxCount: number, variants: VariantChoice = {}) {
    this.allocator = new Allocator(device);
    this.recorder = new Recorder(
      maxCount,
      this.allocator.storage('parameters', PARAMS_BYTES, 'activations', bufferUsage.uniform),
      variants,
    );
  }

  buffer(data: Float32Array | Uint32Array | Uint16Array, label = 'input'): GPUBuffer {
    const buffer = this.allocator.storage(label, data.byteLength);
    upload(this.allocator.device, buffer, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return buffer;
  }

  /** An activation with contents, rows growing with the count unless given. */
  input(data: Float32Array | Uint32Array, width: number, rows: Rows = PER_COUNT): Value {
    return { label: 'input', rows, width, buffer: this.buffer(data) };
  }

  /** A packed weight, cut into parts of the given row counts. */
  matrix(packed: PackedTensor, splits?: readonly number[]): Matrix {
    const [rows, ...rest] = packed.shape;
    const columns = rest.reduce((product, size) => product * size, 1);
    const parts = (splits ?? [rows]).map((partRows, index) => {
      const rowOffset = (splits ?? []).slice(0, index).reduce((sum, n) => sum + n, 0);
      const cut = <T extends Float32Array | Uint32Array | Uint16Array>(data: T): T =>
        data.slice((data.length / rows) * rowOffset, (data.length / rows) * (rowOffset + partRows)) as T;
      const part = { rowOffset, rows: partRows };
      if (isPackedBilevel(packed)) {
        return { ...part, codes: this.buffer(cut(packed.codes)), meta: this.buffer(cut(packed.meta)) };
      }
      if (isPackedSymmetric(packed)) {
        return { ...part, codes: this.buffer(cut(packed.codes)), meta: this.buffer(cut(packed.scales)) };
      }
      if (isPackedFloat(packed)) return { ...part, codes: this.buffer(cut(packed.data)) };
      throw new Error('unknown packed tensor');
    });
    return { name: 'weight', scheme: packed.scheme, rows, columns, parts };
  }

  /** Runs all that was recorded and reads `outputs` back; a buffer is read whole. */
  async run(
    outputs: readonly (Value | GPUBuffer)[],
    { count, past = 0 }: { readonly count: number; readonly past?: number },
  ): Promise<Float32Array[]> {
    const { device } = this.allocator;
    const buffers = outputs.map((output) => {
      if (!('rows' in output)) return output;
      const bytes = Math.max(1, rowCount(output.rows, count)) * output.width * 4;
      const fixed = this.recorder.fixedBuffer(output);
      if (fixed !== undefined) return fixed;
      const buffer = this.allocator.storage(output.label, bytes);
      this.recorder.keep(output, buffer);
      return buffer;
    });
    const plan = await withErrorScopes(device, 'the test plan', () => {
      const { sizes, slots } = assignSlots([this.recorder]);
      const activations = sizes.map((bytes, slot) => this.allocator.storage(`slot ${slot}`, bytes));
      return Plan.prepare(
        device,
        new PipelineCache(device),
        this.recorder,
        (value) => activations[slots.get(value)!],
      );
    });
    device.queue.writeBuffer(this.recorder.params, 0, new Uint32Array([count, past, 0, 0]));
    const results = await withErrorScopes(device, 'the test run', async () => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      plan.encode(pass, count);
      pass.end();
      const readbacks = buffers.map((buffer) => {
        const readback = this.allocator.readback('result', buffer.size);
        encoder.copyBufferToBuffer(buffer, 0, readback, 0, buffer.size);
        return readback;
      });
      device.queue.submit([encoder.finish()]);
      return Promise.all(
        readbacks.map(async (readback, index) => {
          await readback.mapAsync(MAP_MODE_READ);
          const output = outputs[index];
          const bytes =
            'rows' in output ? Math.max(1, rowCount(output.rows, count)) * output.width * 4 : output.size;
          return new Float32Array(readback.getMappedRange().slice(0, bytes));
        }),
      );
    });
    this.allocator.destroy();
    return results;
  }
}

/** Deterministic values in [-1, 1): mulberry32. */
export function randomFloats(length: number, seed: number, scale = 1): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return scale * (((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1);
  });
}

/** Matrices of `rows` rows each, their rows put side by side. */
export function sideBySide(rows: number, matrices: readonly Float32Array[]): Float32Array {
  const widths = matrices.map(({ length }) => length / rows);
  const joined = new Float32Array(matrices.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (const [i, matrix] of matrices.entries()) {
      joined.set(matrix.subarray(row * widths[i], (row + 1) * widths[i]), at);
      at += widths[i];
    }
  }
  return joined;
}

/** Largest absolute difference; NaN where lengths differ or a value is not a number. */
export function maxDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return NaN;
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const d = Math.abs(actual[i] - expected[i]);
    if (!(d <= worst)) worst = d;
    if (Number.isNaN(d)) return NaN;
  }
  return worst;
}
