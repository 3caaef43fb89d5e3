import { assemble } from '../assembler.ts';
import { floatKernel, geluKernel, siluGateKernel, softmaxKernel } from './float.ts';
import type { PackedMatrix } from '../weights/packed-matrix.ts';
import { packedKernel, quantizeKernel, ROW_TILE } from './packed.ts';

type Kernel = (...values: number[]) => void;

/** The kernels on one memory; what they take is written where each is made. */
export interface Kernels {
  readonly quantize: Kernel;
  readonly integer2: Kernel;
  readonly integer2Tile: Kernel;
  readonly integer4: Kernel;
  readonly integer4Tile: Kernel;
  readonly minimum2: Kernel;
  readonly minimum2Tile: Kernel;
  readonly minimum4: Kernel;
  readonly minimum4Tile: Kernel;
  readonly symmetric4: Kernel;
  readonly symmetric4Tile: Kernel;
  readonly float: Kernel;
  readonly floatTile: Kernel;
  readonly softmax: Kernel;
  readonly siluGate: Kernel;
  readonly gelu: Kernel;
}

function kernelModule(): Uint8Array<ArrayBuffer> {
  const packed = (kind: PackedMatrix['kind'], bits: 2 | 4) => [
    packedKernel(`${kind}${bits}`, { kind, bits, rows: 1 }),
    packedKernel(`${kind}${bits}Tile`, { kind, bits, rows: ROW_TILE }),
  ];
  return assemble([
    quantizeKernel(),
    ...packed('integer', 2),
    ...packed('integer', 4),
    ...packed('minimum', 2),
    ...packed('minimum', 4),
    ...packed('symmetric', 4),
    floatKernel('float', 1),
    floatKernel('floatTile', ROW_TILE),
    softmaxKernel(),
    siluGateKernel(),
    geluKernel(),
  ]);
}

/** @throws what WebAssembly throws where SIMD or, by a Content-Security-Policy, WebAssembly is missing. */
export async function instantiateKernels(memory: WebAssembly.Memory): Promise<Kernels> {
  const { instance } = await WebAssembly.instantiate(kernelModule(), { env: { memory } });
  return instance.exports as unknown as Kernels;
}
