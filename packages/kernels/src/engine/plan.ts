import type { Grid } from './grid.ts';
import type { PipelineCache } from './pipelines.ts';
import type { Recorder, Resource, Value } from './recorder.ts';
import { BufferRef, isValue } from './recorder.ts';

interface PreparedStep {
  readonly pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
  readonly grid: (count: number) => Grid;
  /** For steps that bind a buffer that may be replaced: a bind group of the present ones. */
  readonly bindAnew?: () => GPUBindGroup;
}

/** A recording made ready: pipelines and bind groups exist, a run only encodes dispatches. */
export class Plan {
  readonly params: GPUBuffer;
  readonly #steps: readonly PreparedStep[];
  /** Grids of the last count: decoding, always at count 1, computes them once. */
  #grids: { readonly count: number; readonly grids: readonly Grid[] } | undefined;

  private constructor(params: GPUBuffer, steps: readonly PreparedStep[]) {
    this.params = params;
    this.#steps = steps;
  }

  static async prepare(
    device: GPUDevice,
    pipelines: PipelineCache,
    recorder: Recorder,
    bufferOf: (value: Value) => GPUBuffer,
  ): Promise<Plan> {
    const currentBuffer = (resource: Resource): GPUBuffer => {
      if (resource instanceof BufferRef) return resource.buffer;
      if (!isValue(resource)) return resource;
      return recorder.fixedBuffer(resource) ?? bufferOf(resource);
    };
    const steps = await Promise.all(
      recorder.dispatches.map(async ({ program, resources, grid }): Promise<PreparedStep> => {
        const { pipeline, layout } = await pipelines.get(program);
        const bind = (): GPUBindGroup => {
          const entries = resources.map((resource, binding) => ({
            binding,
            resource: { buffer: currentBuffer(resource) },
          }));
          return device.createBindGroup({ label: program.label, layout, entries });
        };
        const mayChange = resources.some((resource) => resource instanceof BufferRef);
        return { pipeline, bindGroup: bind(), grid, bindAnew: mayChange ? bind : undefined };
      }),
    );
    return new Plan(recorder.params, steps);
  }

  get stepCount(): number {
    return this.#steps.length;
  }

  /** After a BufferRef got another buffer. */
  rebind(): void {
    for (const step of this.#steps) if (step.bindAnew) step.bindGroup = step.bindAnew();
  }

  /** Encodes the steps [from, to) for `count` tokens or tiles. */
  encode(pass: GPUComputePassEncoder, count: number, from = 0, to = this.#steps.length): void {
    if (this.#grids?.count !== count) {
      this.#grids = { count, grids: this.#steps.map(({ grid }) => grid(count)) };
    }
    const { grids } = this.#grids;
    for (let index = from; index < to; index++) {
      const { pipeline, bindGroup } = this.#steps[index];
      const [x, y, z] = grids[index];
      if (x * y * z === 0) continue;
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(x, y, z);
    }
  }
}
