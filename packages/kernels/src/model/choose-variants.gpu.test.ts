import { BILEVEL_2BIT_G16, SYMMETRIC_4BIT } from '@speedq/format';
import { HEAD } from '@speedq/model';
import { describe, expect, it } from 'vitest';
import { requestTestDevice } from '../node.ts';
import { DECODE_VARIANTS } from '../ops/attention/variants.ts';
import { instrument } from '../testing/instrumented-device.ts';
import { TINY_CONFIG, packParameters, packedSource, randomParameters } from '../testing/tiny-model.ts';
import type { TrialResult } from '../tuning/fastest-variants.ts';
import type { StoredTensor } from '../weights/source.ts';
import { chooseVariants } from './choose-variants.ts';

const gpu = await requestTestDevice({ features: 'optional' });

describe.skipIf(gpu === null)('chooseVariants', () => {
  it('tries what a model needs, without the model, but for what is wanted anyway; and leaves nothing', async () => {
    const packed = packParameters(TINY_CONFIG, randomParameters(TINY_CONFIG, 1), ({ name, role }) =>
      role === 'embedding' || name === HEAD
        ? SYMMETRIC_4BIT
        : role === 'linear'
          ? BILEVEL_2BIT_G16
          : undefined,
    );
    const tensors: StoredTensor[] = [];
    for await (const shard of packedSource(packed).shards()) tensors.push(...shard.tensors);
    // Everything else would take minutes on a software adapter.
    const wanted = { matvec: 'plain', matmul: 'tile64x64', attention: 'plain' };
    const results: TrialResult[] = [];
    const meter = instrument(gpu!.device);
    const choice = await chooseVariants(gpu!.device, TINY_CONFIG, tensors, {
      maxContext: 512,
      keyValueFormat: 'q8',
      variants: wanted,
      languageFeatures: gpu!.languageFeatures,
      onTrial: (result) => results.push(result),
    });
    meter.restore();
    const key = 'decode-attention 4/2x64 q8';
    expect(Object.keys(choice)).toEqual([key, ...Object.keys(wanted)]);
    expect(choice).toMatchObject(wanted);
    expect(Object.keys(DECODE_VARIANTS)).toContain(choice[key]);
    expect(results.map(({ variant, refused }) => [variant, refused])).toEqual(
      Object.keys(DECODE_VARIANTS).map((name) => [name, undefined]),
    );
    expect(meter.counts.liveBytes).toBe(0);
  });
});
