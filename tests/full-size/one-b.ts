/**
 * InternVL3-1B's shapes, all 24 + 24 layers and 151,674 tokens, at 2 bits with random weights: loads on a device of
 * default limits, answers a question about a picture as the CPU does in float32, and keeps what the runtime
 * promises of memory. `npm run test:1b`; `-- --packed DIR` takes a packed folder that is there already. Some
 * twenty minutes on a software adapter, 3 GB of disk and 8 GB of memory, so not part of `npm test`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Answer, WebGPUAnswer } from './answer.ts';

/** Greatest difference of the logits from the reference, relative to the largest of them, and in norm. */
const TOLERANCE = 1e-2;
/** GPU memory over packed weights and KV cache. */
const OVERHEAD = 0.1;

const { values } = parseArgs({ options: { packed: { type: 'string' } } });
const folder = mkdtempSync(join(tmpdir(), 'speedq-1b-'));
const failures: string[] = [];
try {
  const packed = values.packed ?? makeModel(folder);
  // One after the other, each in a process of its own: their memory is measured, and need not exist together.
  const webgpu = answerOn('webgpu', packed) as WebGPUAnswer;
  const cpu = answerOn('cpu', packed);
  report(webgpu, cpu);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(failures.length === 0 ? '1 passed, 0 failed' : '0 passed, 1 failed');
process.exitCode = failures.length === 0 ? 0 : 1;

function report(webgpu: WebGPUAnswer, cpu: Answer): void {
  const { memory, packedBytes, largestShard } = webgpu;
  console.log(`adapter: ${webgpu.description}${webgpu.isSoftware ? ' (software)' : ''}`);
  console.log(`prompt: ${webgpu.promptTokens} tokens, ${webgpu.tiles} tile(s)`);
  for (const [what, seconds] of Object.entries(webgpu.seconds))
    console.log(`${what}: ${seconds.toFixed(1)} s`);
  console.log(`answer: WebGPU ${webgpu.tokens.join(' ')}, CPU ${cpu.tokens.join(' ')}`);

  const { largest, norm } = difference(webgpu.logits, cpu.logits);
  check(`logits, largest difference: ${largest.toExponential(2)} relative`, largest <= TOLERANCE);
  check(`logits, difference in norm: ${norm.toExponential(2)} relative`, norm <= TOLERANCE);
  check('the same tokens', webgpu.tokens.join() === cpu.tokens.join());

  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  const allowed = (packedBytes + memory.kvCache) * (1 + OVERHEAD);
  const over = webgpu.liveBytes / (packedBytes + memory.kvCache) - 1;
  check(
    `GPU memory after the answer: ${megabytes(webgpu.liveBytes)}, ${(100 * over).toFixed(1)} % over packed ` +
      `${megabytes(packedBytes)} + cache ${megabytes(memory.kvCache)}`,
    webgpu.liveBytes <= allowed,
  );
  console.log(`      of it ${JSON.stringify(memory)}; at most ${megabytes(webgpu.peakBytes)} while loading`);
  check(`largest binding ${megabytes(webgpu.largestBinding)} of 134.2 MB`, webgpu.largestBinding <= 2 ** 27);
  check(
    `JS heap while loading: ${megabytes(webgpu.heapWithShard)} of array buffers at most, largest shard ${megabytes(largestShard)}`,
    webgpu.heapWithShard <= largestShard + 2 ** 20,
  );
  check(`shards alive when the next is read: ${webgpu.shardsAlive}`, webgpu.shardsAlive === 0);
}

function check(text: string, holds: boolean): void {
  console.log(`${holds ? 'ok  ' : 'FAIL'}  ${text}`);
  if (!holds) failures.push(text);
}

function difference(actual: readonly number[], expected: readonly number[]) {
  let largest = 0;
  let square = 0;
  let reference = 0;
  let scale = 0;
  expected.forEach((value, i) => {
    const d = Math.abs(actual[i] - value);
    if (!(d <= largest)) largest = d;
    square += d * d;
    reference += value * value;
    scale = Math.max(scale, Math.abs(value));
  });
  return { largest: largest / scale, norm: Math.sqrt(square / reference) };
}

function answerOn(engine: 'webgpu' | 'cpu', packed: string): Answer {
  const out = join(folder, `${engine}.json`);
  const script = fileURLToPath(new URL('answer.ts', import.meta.url));
  run(['--expose-gc', '--import', 'tsx', script, engine, packed, out]);
  return JSON.parse(readFileSync(out, 'utf8')) as Answer;
}

function makeModel(parent: string): string {
  const model = join(parent, 'float');
  const packed = join(parent, 'packed');
  const speedq = (...args: string[]): void => run(['tools/bin/speedq.js', ...args]);
  speedq('random-model', '--size', '1b', '--seed', '1', '--out', model);
  speedq('quantize', model, '--method', 'rtn', '--recipe', '2bit', '--out', packed);
  rmSync(model, { recursive: true });
  return packed;
}

function run(args: readonly string[]): void {
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}`);
}
