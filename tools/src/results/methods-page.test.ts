import { describe, expect, it } from 'vitest';
import type { CellResult } from './cell-result.ts';
import { parseCell } from './cells.ts';
import { renderMethods } from './methods-page.ts';
import { renderPlot } from './methods-plot.ts';
import { groupRuns, kl, klRatio, retentionOf } from './methods-statistics.ts';

const QUESTIONS = 40;

/** KL of `each` nats at every question of two tokens; the last `wrong` answers are wrong. */
function result(id: string, each: number, wrong = 0): CellResult {
  const all = Array.from({ length: QUESTIONS }, (_, i) => i);
  return {
    cell: parseCell(id),
    schedule: 'short',
    testCommand: 'speedq data',
    quantizeCommand: `speedq quantize ${id}`,
    processorSeconds: 60,
    fileBytes: 4_000_000,
    linearBits: 2.5,
    averageBits: 3.5,
    heldOutKl: 0.02,
    perplexity: 1.25,
    floatPerplexity: 1.2,
    questions: {
      categories: all.map((i) => (i % 2 === 0 ? 'what' : 'count')),
      hits: all.map((i) => (i < QUESTIONS - wrong ? '1' : '0')).join(''),
      floatHits: '1'.repeat(QUESTIONS),
      chance: all.map(() => 0.5),
      tokens: all.map(() => 2),
      kl: all.map(() => each),
    },
  };
}

const results = [
  result('rtn/2bit-g16/0', 0.08),
  result('best/2bit-g16/0', 0.01, 4),
  result('best/2bit-g16/1', 0.03),
  result('best/2bit-g16/1/no-float-input', 0.06),
];

describe('methods', () => {
  it('pools seeds question by question', () => {
    const [rtn, best] = groupRuns(results);
    expect(kl(rtn.runs[0])).toBeCloseTo(0.04, 12);
    const { value, interval } = klRatio(best, rtn);
    expect(value).toBeCloseTo(0.25, 12);
    expect(interval[0]).toBeCloseTo(0.25, 12);
    // Four answers wrong with one of two seeds: 38 of 40, above chance 18 of 20.
    expect(retentionOf(best).raw).toBeCloseTo(0.95, 12);
    expect(retentionOf(best).corrected).toBeCloseTo(0.9, 12);
  });

  it('writes a row a method and compares a change with the same seeds', () => {
    const page = renderMethods(results, 'methods.svg');
    expect(page).toContain('| 2bit-g16 best | 2 | 2.5 | 4,000,000 | 95.0 ± 7.1 |');
    expect(page).toContain('0.01000 ± 0.00707 | 0.25 (0.25–0.25)');
    expect(page).toContain(
      'blocks see the quantized prefix alone | 1 | 0.03000 | 2.00 (2.00–2.00) | 0.02000 |',
    );
    expect(page).not.toContain('NaN');
  });

  it('draws every method', () => {
    const svg = renderPlot(results);
    expect(svg.match(/<title>2bit-g16/g)).toHaveLength(4);
    expect(svg).not.toMatch(/NaN|undefined|<script/);
  });
});
