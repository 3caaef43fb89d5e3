/**
 * Whether `speedq plan` says beforehand what `speedq quantize` takes: plans, runs, and compares peak memory and the time
 * of processors. Fails where a prediction is off by more than 25 %.
 *
 *     npm run check:plan -- [--size pico|1b] [--method clip,gptq] [--recipe quick,FILE] [--threads 2]
 *
 * A 1B takes an hour and more, 6 GB of memory and 10 GB of disk.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const TOLERANCE = 0.25;
const CLI = 'tools/bin/speedq.js';

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: 'pico' },
    method: { type: 'string', default: 'rtn,clip,gptq,awq,adaround,blockwise,speedq,best' },
    recipe: { type: 'string', default: 'quick' },
    threads: { type: 'string', default: '2' },
  },
});

/** The result line of a command under --json, and its seconds. */
function speedq(...args) {
  const begin = performance.now();
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args, '--json'], {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`speedq ${args.join(' ')} ended with ${status}:\n${stderr}`);
  const result = JSON.parse(stdout.trim().split('\n').at(-1));
  return { ...result, wall: (performance.now() - begin) / 1000 };
}

const work = mkdtempSync(join(tmpdir(), 'speedq-check-plan-'));
let off = 0;
try {
  const model = values.size === 'pico' ? 'tools/models/pico' : join(work, 'model');
  if (values.size !== 'pico') speedq('random-model', '--size', values.size, '--seed', '1', '--out', model);
  const data = join(work, 'data');
  speedq('data', '--seed', '20', '--count', '64', '--out', data);
  console.log('recipe method: predicted / measured (ratio)');
  for (const recipe of values.recipe.split(',')) {
    for (const method of values.method.split(',')) {
      const same = ['--recipe', recipe, '--method', method, '--data', data, '--threads', values.threads];
      const planned = speedq('plan', model, ...same).work;
      const out = join(work, 'out');
      const found = speedq('quantize', model, ...same, '--out', out, '--force');
      rmSync(out, { recursive: true });
      const compare = (predicted, measured, unit) => {
        const ratio = predicted / measured;
        const fails = Math.abs(ratio - 1) > TOLERANCE;
        if (fails) off++;
        return `${predicted.toFixed(1)} / ${measured.toFixed(1)} ${unit} (${ratio.toFixed(2)}${fails ? ', OFF' : ''})`;
      };
      const memory = compare(planned.peakBytes / 1e6, found.peakBytes / 1e6, 'MB');
      const time = compare(planned.processorSeconds, found.processorSeconds, 's of processors');
      const wall = `${planned.seconds.toFixed(1)} / ${found.wall.toFixed(1)} s of clock`;
      console.log(`${recipe} ${method}: ${memory}, ${time}, ${wall}`);
    }
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(off === 0 ? 'All within 25 %.' : `${off} off by more than 25 %.`);
process.exitCode = off === 0 ? 0 : 1;
