import type { Program } from '../engine/program.ts';
import { optionalFeatures } from '../engine/capabilities.ts';

/**
 * Checks WGSL against the language alone, with every optional feature, on Dawn's null backend: for programs that
 * the adapter at hand cannot run.
 * @returns the compiler's complaints about each program, by label
 */
export async function compileErrors(programs: readonly Program[]): Promise<string[]> {
  const { create } = await import('webgpu');
  const gpu = create(['backend=null']);
  const adapter = (await gpu.requestAdapter())!;
  const device = await adapter.requestDevice({ requiredFeatures: optionalFeatures(adapter) });
  const errors: string[] = [];
  for (const { label, code } of programs) {
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ code });
    await device.popErrorScope();
    for (const { type, message, lineNum } of (await module.getCompilationInfo()).messages) {
      if (type === 'error') errors.push(`${label}, line ${lineNum}: ${message}`);
    }
  }
  device.destroy();
  return errors;
}
