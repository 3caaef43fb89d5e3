import type { EngineChoice } from './protocol.ts';

/** i8x16.splat: valid where WebAssembly has SIMD. */
const SIMD_MODULE = Uint8Array.of(
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0],
  ...[10, 8, 1, 6, 0, 0x41, 0, 0xfd, 0x0f, 0x0b],
);

export function hasWebAssembly(): boolean {
  return typeof WebAssembly === 'object' && WebAssembly.validate(SIMD_MODULE);
}

/** Whether a model could run here at all; computes nothing. */
export async function canCompute(choice?: EngineChoice): Promise<boolean> {
  if (choice !== 'webgpu' && hasWebAssembly()) return true;
  return choice !== 'wasm' && 'gpu' in navigator && (await navigator.gpu.requestAdapter()) !== null;
}
