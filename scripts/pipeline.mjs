/**
 * The whole project from nothing: draw data, train the float model, quantize it in three stages, pack it,
 * check it. `npm run pipeline` takes hours; every step resumes where it was stopped.
 */
import { spawnSync } from 'node:child_process';

const FLOAT = 'tools/models/pico';
const DATA = 'runs/data/calibration';

// Pictures are drawn while training; only the quantizer, which takes any data set, reads files.
speedq('train', '--model', FLOAT);
speedq('data', '--seed', '20', '--count', '12000', '--out', DATA);
for (const bits of ['2bit', '4bit']) {
  const packed = `web/public/models/pico-${bits}`;
  speedq('quantize', FLOAT, '--recipe', bits, '--data', DATA, '--out', packed, '--force');
  speedq('verify', packed);
}
speedq('inspect', 'web/public/models/pico-2bit');

function speedq(...args) {
  console.log(`\n> speedq ${args.join(' ')}`);
  const { status } = spawnSync(process.execPath, ['tools/bin/speedq.js', ...args], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}
