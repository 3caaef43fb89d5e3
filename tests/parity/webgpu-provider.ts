import ort from 'onnxruntime-node';
import { Graph, Session, primitives as op } from '@speedq/onnx';

/** Whether onnxruntime's WebGPU provider finds an adapter; under REQUIRE_GPU=1 its absence is an error. */
export async function hasWebgpuProvider(): Promise<boolean> {
  const g = new Graph();
  g.output('y', op.add(g, g.input('x', [2]), 1));
  try {
    const session = await Session.create(ort, g.build(), { executionProvider: 'webgpu' });
    await session.run(new Map([['x', session.float(new Float32Array(2), [2])]]));
    await session.release();
    return true;
  } catch (error) {
    if (process.env.REQUIRE_GPU === '1') throw error;
    return false;
  }
}
