import type { Grid } from './grid.ts';
import type { PipelineCache } from './pipelines.ts';
import type { Recorder, Value } from './recorder.ts';
import { isValue } from './recorder.ts';

interface PreparedStep {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly grid: (count: number) => Grid;
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
    const steps = await Promise.all(
      recorder.dispatches.map(async ({ program, resources, grid }): Promise<PreparedStep> => {
        const { pipeline, layout } = await pipelines.get(program);
        const entries = resources.map((resource, binding) => ({
          binding,
          resource: {
            buffer: isValue(resource) ? (recorder.fixedBuffer(resource) ?? bufferOf(resource)) : resource,
          },
        }));
        return {
          pipeline,
          bindGroup: device.createBindGroup({ label: program.label, layout, entries }),
          grid,
        };
      }),
    );
    return new Plan(recorder.params, steps);
  }

  get stepCount(): number {
    return this.#steps.length;
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
