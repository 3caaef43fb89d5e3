import type { BilevelScheme, GroupRange } from '@speedq/format';
import { differentiate } from '../autodiff.ts';
import { fakeQuantize } from '../fake-quantize.ts';
import { Graph } from '../graph.ts';
import { Session } from '../session.ts';
import type { OrtModule, SessionOptions } from '../session.ts';
import { randomNormals } from './random.ts';

/** Runs `fakeQuantize` and its gradient on weight [rows, columns] with a random `upstream` gradient. */
export async function runFakeQuantize(
  ort: OrtModule,
  weight: Float32Array,
  [rows, columns]: readonly number[],
  scheme: BilevelScheme,
  options: { readonly reference?: boolean; readonly range?: GroupRange; readonly session?: SessionOptions },
) {
  const { reference = false, range } = options;
  const g = new Graph();
  const w = g.input('w', [rows, columns]);
  const dy = g.input('dy', [rows, columns]);
  const groups = columns / scheme.groupSize;
  const bounds = range && { min: g.input('min', [rows, groups]), max: g.input('max', [rows, groups]) };
  const values = fakeQuantize(g, w, scheme, { reference, range: bounds });
  g.output('values', values);
  g.output('dw', differentiate(g, [[values, dy]], [w])[0]!);
  const session = await Session.create(ort, g.build(), options.session);
  const upstream = randomNormals(weight.length, 99);
  const feeds = new Map([
    ['w', session.float(weight, [rows, columns])],
    ['dy', session.float(upstream, [rows, columns])],
  ]);
  if (range) {
    feeds.set('min', session.float(range.min, [rows, groups]));
    feeds.set('max', session.float(range.max, [rows, groups]));
  }
  const results = await session.run(feeds);
  await session.release();
  return {
    values: results.get('values')!.data as Float32Array,
    gradient: results.get('dw')!.data as Float32Array,
    upstream,
  };
}
