import { BILEVEL_2BIT_G16, packWeight } from '@speedq/format';
import { describe, expect, it } from 'vitest';
import { floats, params, program } from '../engine/program.ts';
import type { Need } from '../engine/program.ts';
import { ONE_ROW, dispatchOf } from '../engine/recorder.ts';
import type { Variants } from '../engine/variants.ts';
import { requestTestDevice } from '../node.ts';
import { MATVEC_VARIANTS } from '../ops/linear/matvec-variants.ts';
import { recordLinear } from '../ops/linear/record.ts';
import { OpBench, randomFloats } from '../testing/harness.ts';
import type { TrialResult } from './fastest-variants.ts';
import { fastestVariants } from './fastest-variants.ts';
import type { TrialCase } from './trial.ts';
import type { VariantStore } from './variant-store.ts';
import { fingerprint } from './variant-store.ts';

const gpu = await requestTestDevice({ features: 'optional' });
const languageFeatures = gpu?.languageFeatures ?? new Set<string>();

function casesOf({ recorder }: OpBench, past = 0): TrialCase[] {
  return [...recorder.cases.values()].map((variantCase) => ({
    variantCase,
    params: recorder.params,
    count: recorder.maxCount,
    past,
    growth: 1,
  }));
}

/** y = factor · x, the slow way: `work` turns of a loop that cannot be left out. */
interface Doubling {
  readonly factor: number;
  readonly work: number;
  /** Default: sums in another order. */
  readonly tolerance?: number;
  readonly syntax?: string;
}

function doublingCase(
  variants: Record<string, Doubling & { readonly needs?: readonly Need[] }>,
): TrialCase[] {
  const bench = new OpBench(gpu!.device, 1);
  const x = bench.input(randomFloats(256, 1), 256, ONE_ROW);
  const y = bench.recorder.value('y', ONE_ROW, 256);
  const all = Object.fromEntries(
    Object.entries(variants).map(([name, options]) => [
      name,
      { needs: options.needs ?? [], tolerance: options.tolerance ?? 1e-5, options },
    ]),
  ) as unknown as Variants<Doubling>;
  bench.recorder.dispatchVariant(all, { op: 'double', key: 'double 256', output: y }, (options) => [
    dispatchOf(
      program(
        'double',
        { params, x: floats('read'), y: floats('write') },
        `@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  var v = ${options.factor}.0f * x[id.x];
  for (var i = 0u; i < ${options.work}u; i++) { v += sin(f32(i) + v) * 1e-30f; }
  y[id.x] = v ${options.syntax ?? ''};
}`,
      ),
      [bench.recorder.params, x, y],
      () => [4, 1, 1],
    ),
  ]);
  return casesOf(bench);
}

function memoryStore(): VariantStore & { readonly kept: Map<string, Readonly<Record<string, string>>> } {
  const kept = new Map<string, Readonly<Record<string, string>>>();
  return {
    kept,
    read: (adapter) => Promise.resolve(kept.get(adapter) ?? {}),
    write: (adapter, entries) => {
      kept.set(adapter, entries);
      return Promise.resolve();
    },
  };
}

describe.skipIf(gpu === null)('the choice of variants', () => {
  it('takes the fastest that is right; never one that is wrong, fails or lacks a feature', async () => {
    const results: TrialResult[] = [];
    const cases = doublingCase({
      plain: { factor: 2, work: 20_000 },
      slower: { factor: 2, work: 200_000 },
      wrong: { factor: 3, work: 1 },
      broken: { factor: 2, work: 1, syntax: '+ nonsense' },
      faster: { factor: 2, work: 1 },
      'not there': { factor: 2, work: 0, needs: ['no-such-feature' as Need] },
    });
    const choice = await fastestVariants(gpu!.device, cases, {
      languageFeatures,
      onTrial: (result) => results.push(result),
    });
    expect(choice).toEqual({ 'double 256': 'faster' });
    const tried = Object.fromEntries(results.map((result) => [result.variant, result]));
    expect(Object.keys(tried).sort()).toEqual(['broken', 'faster', 'plain', 'slower', 'wrong']);
    expect(tried.wrong.refused).toMatch(/differs by 0\.5/);
    expect(tried.broken.refused).toMatch(/does not compile/);
    expect(tried.slower.seconds).toBeGreaterThan(tried.plain.seconds!);
  });

  it('stays with the plain one where the others are slower or wrong', async () => {
    const cases = doublingCase({
      plain: { factor: 2, work: 1 },
      slower: { factor: 2, work: 100_000 },
      wrong: { factor: 4, work: 0 },
    });
    expect(await fastestVariants(gpu!.device, cases, { languageFeatures })).toEqual({
      'double 256': 'plain',
    });
  });

  it('does not try what rounds activations unless it is asked to', async () => {
    const cases = () =>
      doublingCase({ plain: { factor: 2, work: 30_000 }, rounding: { factor: 2, work: 1, tolerance: 2e-2 } });
    expect(await fastestVariants(gpu!.device, cases(), { languageFeatures })).toEqual({});
    expect(await fastestVariants(gpu!.device, cases(), { languageFeatures, allowRounding: true })).toEqual({
      'double 256': 'rounding',
    });
  });

  it('measures once: what the store kept is taken, until a program changes', async () => {
    const store = memoryStore();
    const tried: string[] = [];
    const options = {
      languageFeatures,
      store,
      onTrial: ({ variant }: TrialResult) => void tried.push(variant),
    };
    const variants = { plain: { factor: 2, work: 30_000 }, faster: { factor: 2, work: 1 } };
    await fastestVariants(gpu!.device, doublingCase(variants), options);
    expect(tried).toEqual(['plain', 'faster']);
    expect(await fastestVariants(gpu!.device, doublingCase(variants), options)).toEqual({
      'double 256': 'faster',
    });
    expect(tried).toHaveLength(2);
    await fastestVariants(
      gpu!.device,
      doublingCase({ ...variants, plain: { factor: 2, work: 30_001 } }),
      options,
    );
    expect(tried).toHaveLength(4);
    const [[adapter, entries]] = [...store.kept];
    expect(adapter).toContain('/');
    expect(Object.keys(entries)).toHaveLength(2);
  });

  it('tries real kernels on made-up buffers, and finds all of them right', async () => {
    const bench = new OpBench(gpu!.device, 1);
    const packed = packWeight(randomFloats(32 * 64, 1), [32, 64], BILEVEL_2BIT_G16);
    recordLinear(bench.recorder, bench.input(randomFloats(64, 2), 64, ONE_ROW), bench.matrix(packed), {
      residual: bench.input(randomFloats(32, 3), 32, ONE_ROW),
    });
    const results: TrialResult[] = [];
    const before = bench.allocator.bytesOf();
    await fastestVariants(gpu!.device, casesOf(bench), {
      languageFeatures,
      allowRounding: true,
      onTrial: (result) => results.push(result),
    });
    expect(results.map(({ variant }) => variant)).toEqual(Object.keys(MATVEC_VARIANTS));
    expect(results.filter(({ refused }) => refused !== undefined)).toEqual([]);
    expect(bench.allocator.bytesOf()).toBe(before);
  });
});

describe('fingerprint', () => {
  it('tells texts apart, and their order', () => {
    expect(fingerprint(['a', 'b'])).not.toBe(fingerprint(['b', 'a']));
    expect(fingerprint(['fn main() {}'])).not.toBe(fingerprint(['fn main() { }']));
    expect(fingerprint(['same'])).toBe(fingerprint(['same']));
  });
});
