import { describe, expect, it } from 'vitest';
import { ONE_ROW } from '../../engine/recorder.ts';
import { requestTestDevice } from '../../node.ts';
import { OpBench, randomFloats } from '../../testing/harness.ts';
import { recordArgmax, recordCandidates } from './record.ts';

const gpu = await requestTestDevice();

async function run(logits: Float32Array, count: number, past: number) {
  const bench = new OpBench(gpu!.device, 4);
  const outputs = { next: bench.buffer(new Uint32Array(4)), tokens: bench.buffer(new Uint32Array(4)) };
  const candidates = recordCandidates(bench.recorder, bench.input(logits, logits.length, ONE_ROW));
  recordArgmax(bench.recorder, candidates, outputs);
  const results = await bench.run([outputs.next, outputs.tokens, bench.recorder.params], { count, past });
  return results.map((data) => [...new Uint32Array(data.buffer)]);
}

describe.skipIf(gpu === null)('argmax', () => {
  it.each([
    [1, 0],
    [7, 6],
    [4096, 4095],
    [4097, 4096],
    [151_674, 151_673],
    [151_674, 3],
  ])('of %i logits finds %i and moves the parameters on', async (vocabulary, best) => {
    const logits = randomFloats(vocabulary, vocabulary).map((v) => v - 50);
    logits[best] = -48;
    const [next, tokens, params] = await run(logits, 3, 10);
    expect(next[0]).toBe(best);
    expect(tokens[0]).toBe(best);
    expect(params).toEqual([3, 13, 1, 0]);
  });

  it('takes the lowest id among equals, as a scan does', async () => {
    const logits = new Float32Array(9000).fill(-3);
    logits[8500] = logits[4200] = logits[301] = logits[300] = 1;
    expect((await run(logits, 1, 0))[0][0]).toBe(300);
    expect((await run(new Float32Array(9000), 1, 0))[0][0]).toBe(0);
  });
});
