/** Weights for tests: seeded, so that a failure repeats. */

/** Uniform in [0, 1), mulberry32. */
function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function gaussian(count: number, seed: number, deviation = 1): Float32Array {
  const random = uniform(seed);
  return Float32Array.from(
    { length: count },
    () => deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()),
  );
}

/** ‖a − b‖² / ‖a‖². */
export function relativeError(exact: Float32Array, approximate: Float32Array): number {
  let error = 0;
  let norm = 0;
  for (let i = 0; i < exact.length; i++) {
    error += (exact[i] - approximate[i]) ** 2;
    norm += exact[i] ** 2;
  }
  return error / norm;
}

/** The code of the SpeedqError that `run` throws. */
export function thrown(run: () => unknown): { code: string; message: string } {
  try {
    run();
  } catch (error) {
    return error as { code: string; message: string };
  }
  throw new Error('nothing was thrown');
}
