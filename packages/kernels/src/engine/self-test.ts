import { SpeedqError } from '@speedq/format';
import { MAP_MODE_READ, bufferUsage } from './constants.ts';

const THREADS = 64;

/** What packed weights need of a device: bits, halves, barriers, exponentials. */
const CODE = /* wgsl */ `
@group(0) @binding(0) var<storage, read> words: array<u32>;
@group(0) @binding(1) var<storage, read_write> results: array<f32>;
var<workgroup> parts: array<f32, ${THREADS}>;
@compute @workgroup_size(${THREADS})
fn main(@builtin(local_invocation_index) i: u32) {
  let code = f32((words[i / 16] >> (2 * (i % 16))) & 3) - f32(i % 4);
  let scale = unpack2x16float(words[4]);
  parts[i] = code * scale.x + scale.y;
  workgroupBarrier();
  var sum = 0.0;
  for (var k = 0u; k <= i; k++) { sum += parts[k]; }
  results[i] = exp(sum / 64.0);
}`;

const WORDS = Uint32Array.of(0x1b2e93c4, 0xe41b0f5a, 0x00ff39c6, 0x72d81e4b, 0x38003c00);

/** The same in JavaScript; 0x3c00 is 1 in half precision, 0x3800 is 0.5. */
function expected(): number[] {
  let sum = 0;
  return Array.from({ length: THREADS }, (_, i) => {
    sum += ((WORDS[i >> 4] >>> (2 * (i % 16))) & 3) - (i % 4) + 0.5;
    return Math.exp(sum / 64);
  });
}

const LONGEST_MILLISECONDS = 20_000;

/**
 * A device that computes wrongly, or never answers, is none: some drivers do.
 * @throws {SpeedqError} `no-webgpu`
 */
export async function selfTest(device: GPUDevice): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('no answer within 20 s')), LONGEST_MILLISECONDS);
  });
  try {
    const results = await Promise.race([compute(device), late]);
    const wrong = expected().findIndex((value, i) => !(Math.abs(results[i] - value) <= 1e-4 * value));
    if (wrong >= 0) throw new Error(`result ${wrong} is ${results[wrong]}, not ${expected()[wrong]}`);
  } catch (cause) {
    throw new SpeedqError(
      'no-webgpu',
      `The graphics adapter failed a test computation (${(cause as Error).message}). Update the graphics driver.`,
      { cause },
    );
  } finally {
    clearTimeout(timer);
  }
}

async function compute(device: GPUDevice): Promise<Float32Array> {
  const bytes = THREADS * 4;
  const { storage, copySource, copyDestination, mapRead } = bufferUsage;
  const words = device.createBuffer({ size: WORDS.byteLength, usage: storage | copyDestination });
  const results = device.createBuffer({ size: bytes, usage: storage | copySource });
  const readback = device.createBuffer({ size: bytes, usage: mapRead | copyDestination });
  try {
    device.queue.writeBuffer(words, 0, WORDS);
    const module = device.createShaderModule({ code: CODE });
    const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
    const group = device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [words, results].map((buffer, binding) => ({ binding, resource: { buffer } })),
    });
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(results, 0, readback, 0, bytes);
    device.queue.submit([encoder.finish()]);
    await readback.mapAsync(MAP_MODE_READ);
    return new Float32Array(readback.getMappedRange().slice(0));
  } finally {
    for (const buffer of [words, results, readback]) buffer.destroy();
  }
}
