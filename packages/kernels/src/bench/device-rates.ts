import { Allocator } from '../engine/allocator.ts';
import { PipelineCache } from '../engine/pipelines.ts';
import type { Program } from '../engine/program.ts';
import { floats, program, vectors } from '../engine/program.ts';
import { timeRuns } from './timing.ts';

/** What the device does at most, as measured: the yardsticks of the other figures. */
export interface DeviceRates {
  /** Bytes read and written per second by a copy of a buffer that no cache holds. */
  readonly bytesPerSecond: number;
  /** Multiplications and additions per second in float32, from registers. */
  readonly operationsPerSecond: number;
}

const THREADS = 64;
const COPY_VECTORS_PER_THREAD = 16;
const FMA_STEPS = 256;
const CHAINS = 8;

const copyProgram: Program = program(
  'copy',
  { source: vectors('read'), copied: vectors('write') },
  `
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let first = wid.x * ${THREADS * COPY_VECTORS_PER_THREAD}u + lid;
  for (var i = 0u; i < ${COPY_VECTORS_PER_THREAD}u; i++) {
    let at = first + i * ${THREADS}u;
    copied[at] = source[at];
  }
}`,
);

const chains = Array.from({ length: CHAINS }, (_, i) => i);

/** Independent chains, so that none waits for its own last result. */
const fmaProgram: Program = program(
  'multiply-add',
  { source: floats('read'), copied: floats('write') },
  `
@compute @workgroup_size(${THREADS})
fn main(@builtin(workgroup_id) wid: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
  let a = vec4<f32>(source[0]);
  let b = vec4<f32>(source[1]);
  ${chains.map((i) => `var v${i} = a + ${i}.0f;`).join(' ')}
  for (var step = 0u; step < ${FMA_STEPS}u; step++) {
    ${chains.map((i) => `v${i} = fma(v${i}, a, b);`).join(' ')}
  }
  let sum = ${chains.map((i) => `v${i}`).join(' + ')};
  copied[wid.x * ${THREADS}u + lid] = sum.x + sum.y + sum.z + sum.w;
}`,
);

/** `isSoftware`: smaller buffers, because such an adapter takes a thousand times as long. */
export async function measureDevice(device: GPUDevice, isSoftware: boolean): Promise<DeviceRates> {
  const allocator = new Allocator(device);
  const pipelines = new PipelineCache(device);
  const bytes = (isSoftware ? 16 : 128) << 20;
  const groups = isSoftware ? 64 : 16_384;
  const source = allocator.storage('source', bytes);
  const target = allocator.storage('target', bytes);
  device.queue.writeBuffer(source, 0, Float32Array.of(0.999, 0.001));
  const time = async (of: Program, workgroups: number): Promise<number> => {
    const { pipeline, layout } = await pipelines.get(of);
    const entries = [source, target].map((buffer, binding) => ({ binding, resource: { buffer } }));
    const bindGroup = device.createBindGroup({ layout, entries });
    const { seconds } = await timeRuns(device, (pass) => {
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(workgroups);
    });
    return seconds;
  };
  try {
    const copying = await time(copyProgram, bytes / (16 * THREADS * COPY_VECTORS_PER_THREAD));
    const computing = await time(fmaProgram, groups);
    return {
      bytesPerSecond: (2 * bytes) / copying,
      operationsPerSecond: (2 * 4 * CHAINS * FMA_STEPS * THREADS * groups) / computing,
    };
  } finally {
    allocator.destroy();
  }
}
