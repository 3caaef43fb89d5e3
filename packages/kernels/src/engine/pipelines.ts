import { SpeedqError } from '@speedq/format';
import { STAGE_COMPUTE } from './constants.ts';
import type { Access, Program } from './program.ts';

const BINDING_TYPE: Record<Access, GPUBufferBindingType> = {
  uniform: 'uniform',
  read: 'read-only-storage',
  write: 'storage',
};

export interface CompiledProgram {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Compiles each distinct program once per device. */
export class PipelineCache {
  readonly #device: GPUDevice;
  readonly #compiled = new Map<string, Promise<CompiledProgram>>();

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** @throws SpeedqError 'internal' with the compiler's message. */
  get(program: Program): Promise<CompiledProgram> {
    let compiled = this.#compiled.get(program.code);
    if (compiled === undefined) {
      compiled = this.compile(program);
      this.#compiled.set(program.code, compiled);
    }
    return compiled;
  }

  private async compile({ label, code, bindings }: Program): Promise<CompiledProgram> {
    const device = this.#device;
    // Explicit layouts: 'auto' drops bindings that a variant of a program happens not to read.
    const layout = device.createBindGroupLayout({
      label,
      entries: bindings.map((access, binding) => ({
        binding,
        visibility: STAGE_COMPUTE,
        buffer: { type: BINDING_TYPE[access] },
      })),
    });
    const module = device.createShaderModule({ label, code });
    try {
      const pipeline = await device.createComputePipelineAsync({
        label,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main' },
      });
      return { pipeline, layout };
    } catch (cause) {
      const { messages } = await module.getCompilationInfo();
      const details = messages.map(({ lineNum, message }) => `line ${lineNum}: ${message}`).join('\n');
      throw new SpeedqError('internal', `WGSL of "${label}" does not compile: ${details || String(cause)}`, {
        cause,
      });
    }
  }
}
