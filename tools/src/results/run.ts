/**
 * Makes docs/results.md: draws the test, evaluates the float model and every packed variant (quantizing those that
 * are missing), and renders what has been measured so far. What is unchanged is not computed again.
 *
 *     npm run results -- [--only float|quantized|render] [--workers N] [--count N] [--model DIR]
 *       [--variant ID]… [--out DIR] [--docs FILE]
 */
import { writeFile } from 'node:fs/promises';
import { parseArguments } from '../cli/parse.ts';
import type { OptionSpecs, OptionValues } from '../cli/command.ts';
import { exitCodeOf, toSpeedqError } from '../cli/exit-codes.ts';
import { runJob } from './job.ts';
import { sideBySide } from './side-by-side.ts';
import { readMeasurements } from './measurements.ts';
import { PICO, calibrationData, floatJobs, testData, variantJobs, variants } from './plan.ts';
import type { Job } from './plan.ts';
import { renderResults } from './render.ts';

const OPTIONS = {
  only: { type: 'string', choices: ['float', 'quantized', 'render'], description: 'part of the work' },
  workers: { type: 'integer', min: 1, default: 2, description: 'commands that run side by side' },
  count: { type: 'integer', min: 1, default: 1000, description: 'questions of the test' },
  model: { type: 'string', hint: 'DIR', default: PICO, description: 'the float model' },
  variant: { type: 'string', hint: 'ID', multiple: true, description: 'only these, such as 2bit-rtn' },
  out: { type: 'string', hint: 'DIR', default: 'runs/results', description: 'folder of the measurements' },
  docs: { type: 'string', hint: 'FILE', default: 'docs/results.md', description: 'page to write' },
} as const satisfies OptionSpecs;

const RUNNER = 'npm run results';

async function run(argv: readonly string[]): Promise<void> {
  const options = parseArguments(argv, {}, OPTIONS).options as OptionValues<typeof OPTIONS>;
  const { only, workers, out } = options;
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const chosen = variants(options).filter(
    ({ id }) => options.variant.length === 0 || options.variant.includes(id),
  );
  if (only !== 'render') {
    await runJob(testData(options), { out, log });
    const chains: Job[][] = [];
    // The float model's own run is what every variant is compared with.
    if (only === 'quantized') chains.push(floatJobs(options).slice(0, 1));
    else chains.push(...floatJobs(options).map((job) => [job]));
    if (only !== 'float') {
      if (chosen.some(({ method }) => method === 'speedq')) await runJob(calibrationData(), { out, log });
      chains.push(...chosen.map((variant) => variantJobs(options, variant)));
    }
    const tasks = chains.map((chain) => async () => {
      for (const job of chain) await runJob(job, { out, log });
    });
    await sideBySide(tasks, workers);
  }
  await writeFile(options.docs, renderResults(await readMeasurements(options), RUNNER));
  log(options.docs);
}

run(process.argv.slice(2)).catch((thrown: unknown) => {
  const error = toSpeedqError(thrown);
  process.stderr.write(`${error.message} [${error.code}]\n`);
  process.exitCode = exitCodeOf(error.code);
});
