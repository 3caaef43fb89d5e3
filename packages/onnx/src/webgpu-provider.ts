import { Graph } from './graph.ts';
import * as op from './primitives.ts';
import { Session } from './session.ts';
import type { OrtModule } from './session.ts';

/** Whether this onnxruntime has a WebGPU provider and finds an adapter, by running a graph on it. */
export async function hasWebgpuProvider(ort: OrtModule): Promise<boolean> {
  const g = new Graph();
  g.output('y', op.add(g, g.input('x', [2]), 1));
  try {
    const session = await Session.create(ort, g.build(), { executionProvider: 'webgpu' });
    await session.run(new Map([['x', session.float(new Float32Array(2), [2])]]));
    await session.release();
    return true;
  } catch {
    return false;
  }
}
