/**
 * InternVL3-1B's shapes with the full vocabulary, cut to two vision and two language layers, through the
 * whole command: write, inspect, pack, verify, answer one token on WebGPU and on the CPU. Shard splits, bindings
 * near 128 MiB and two-dimensional dispatches are real at this size. Minutes and 2 GB of disk, so not part
 * of `npm test`: `npm run test:full-shape`.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const folder = mkdtempSync(join(tmpdir(), 'speedq-full-shape-'));
const model = join(folder, 'float');
const packed = join(folder, 'packed');
const image = 'web/public/samples/farm.png';

try {
  speedq(
    'random-model',
    '--size',
    '1b',
    '--vision-layers',
    '2',
    '--language-layers',
    '2',
    '--seed',
    '1',
    '--out',
    model,
  );
  speedq('inspect', model);
  speedq('quantize', model, '--method', 'rtn', '--recipe', '2bit', '--out', packed);
  speedq('verify', packed);
  speedq('inspect', packed);
  const ask = ['generate', packed, '--prompt', 'What is this?', '--image', image, '--max-new-tokens', '1'];
  const webgpu = speedq(...ask, '--engine', 'webgpu');
  const cpu = speedq(...ask, '--engine', 'cpu');
  const same = JSON.stringify(webgpu.tokens) === JSON.stringify(cpu.tokens);
  console.log(`WebGPU ${JSON.stringify(webgpu.tokens)}, CPU ${JSON.stringify(cpu.tokens)}`);
  console.log(same ? '1 passed, 0 failed' : '0 passed, 1 failed');
  process.exitCode = same ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Runs a command and returns its result; its progress goes to the terminal. */
function speedq(...args) {
  const begin = performance.now();
  const { status, stdout } = spawnSync(process.execPath, ['tools/bin/speedq.js', ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (status !== 0) throw new Error(`speedq ${args.join(' ')} ended with ${status}:\n${stdout}`);
  console.log(`${((performance.now() - begin) / 1000).toFixed(1)} s  speedq ${args.join(' ')}`);
  return JSON.parse(stdout.trim().split('\n').at(-1));
}
