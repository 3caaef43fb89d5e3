import { SpeedqError } from '@speedq/format';
import { Graph } from './graph.ts';
import type { Tensor } from './graph.ts';
import * as op from './primitives.ts';
import { Session } from './session.ts';
import type { ExecutionProvider, OrtModule } from './session.ts';

/** Whether this onnxruntime has a WebGPU provider and finds an adapter, by running a graph on it. */
export async function hasWebgpuProvider(ort: OrtModule): Promise<boolean> {
  return (await failureOf(ort, 'webgpu', (g) => op.add(g, g.input('x', [2]), 1))) === undefined;
}

/** Whether the adapter computes with float16, and so can keep weights in it. */
export async function hasHalfStorage(ort: OrtModule): Promise<boolean> {
  const roundTrip = (g: Graph) => op.cast(g, op.cast(g, g.input('x', [2]), 'float16'), 'float32');
  return (await failureOf(ort, 'webgpu', roundTrip)) === undefined;
}

/** Throws `no-webgpu`, or `unsupported` for CUDA, where a graph does not run on a provider. */
export async function requireProvider(ort: OrtModule, provider: ExecutionProvider): Promise<void> {
  const failure = await failureOf(ort, provider, (g) => op.add(g, g.input('x', [2]), 1));
  if (failure === undefined) return;
  const reason = failure.message.split('\n')[0];
  if (provider === 'webgpu') {
    throw new SpeedqError(
      'no-webgpu',
      `onnxruntime finds no graphics card for WebGPU (${reason}). Run speedq doctor to see what it looks for, ` +
        'or pass --device cpu.',
      { cause: failure },
    );
  }
  throw new SpeedqError(
    'unsupported',
    `onnxruntime-node runs nothing on ${provider} here (${reason}). It needs Linux on x64, an NVIDIA driver, CUDA 12 ` +
      'with cuDNN 9, and its CUDA libraries: reinstall onnxruntime-node without ONNXRUNTIME_NODE_INSTALL=skip, ' +
      'or pass --device webgpu or --device cpu.',
    { cause: failure },
  );
}

async function failureOf(
  ort: OrtModule,
  executionProvider: ExecutionProvider,
  build: (g: Graph) => Tensor,
): Promise<Error | undefined> {
  const g = new Graph();
  g.output('y', build(g));
  try {
    const session = await Session.create(ort, g.build(), { executionProvider, quiet: true });
    await session.run(new Map([['x', session.float(new Float32Array(2), [2])]]));
    await session.release();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}
