/** A sample lasts at least this long, so that the clock's grain and the way to the device do not count. */
const SAMPLE_SECONDS = 0.02;
const SAMPLES = 3;
/** For so long a device works before what it takes counts: its clock rises with work. */
const WARM_UP_SECONDS = 0.3;
const MAX_RUNS = 4096;

export interface Timing {
  /** Of one run: the median of the last samples. */
  readonly seconds: number;
  /** Runs in a sample. */
  readonly runs: number;
}

/**
 * Time of one run of work that `encode` puts into a pass as often as it is asked to. The time of an empty
 * submission is taken off: what is left is what the device computes.
 */
export async function timeRuns(
  device: GPUDevice,
  encode: (pass: GPUComputePassEncoder, run: number) => void,
): Promise<Timing> {
  const sample = async (runs: number): Promise<number> => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let run = 0; run < runs; run++) encode(pass, run);
    pass.end();
    const commands = encoder.finish();
    const begin = performance.now();
    device.queue.submit([commands]);
    await device.queue.onSubmittedWorkDone();
    return (performance.now() - begin) / 1000;
  };
  // The first run may still compile something.
  await sample(1);
  const empty = median([await sample(0), await sample(0), await sample(0)]);
  let runs = 1;
  let seconds = await sample(runs);
  while (seconds - empty < SAMPLE_SECONDS && runs < MAX_RUNS) {
    const wanted = (1.2 * SAMPLE_SECONDS) / Math.max(seconds - empty, SAMPLE_SECONDS / 16);
    runs = Math.min(MAX_RUNS, Math.ceil(runs * Math.max(1.5, wanted)));
    seconds = await sample(runs);
  }
  const samples = [seconds];
  const begin = performance.now();
  while (samples.length < SAMPLES || performance.now() - begin < 1000 * WARM_UP_SECONDS) {
    samples.push(await sample(runs));
  }
  return { seconds: Math.max(1e-9, median(samples.slice(-SAMPLES)) - empty) / runs, runs };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1];
}
