import { describe, expect, it } from 'vitest';
import { parseRecipe } from '../recipes/load-recipe.ts';
import { ALL_METHODS, CHANGES, RUNGS, SCHEDULES, cellsOf, parseCell, recipeOf } from './cells.ts';
import type { ScheduleName } from './cells.ts';

describe('cells', () => {
  it('makes recipes that load, for every rung, schedule and change', () => {
    for (const schedule of Object.keys(SCHEDULES) as ScheduleName[]) {
      for (const rung of Object.keys(RUNGS)) {
        for (const change of ['', ...Object.keys(CHANGES).map((name) => `/${name}`)]) {
          const recipe = parseRecipe(recipeOf(parseCell(`speedq/${rung}/0${change}`), schedule));
          expect(recipe.schemes.language).toBe(RUNGS[rung].scheme);
        }
      }
    }
  });

  it('keeps the schedule beside a change', () => {
    const cell = parseCell('best/2bit-g16/2/cross-entropy');
    expect(cell).toMatchObject({ method: 'best', rung: '2bit-g16', seed: 2, change: 'cross-entropy' });
    expect(recipeOf(cell, 'short').stage3).toEqual({
      ...SCHEDULES.short.changes.stage3,
      crossEntropyWeight: 1,
      labelSmoothing: 0.1,
    });
  });

  it('says what is wrong with a name', () => {
    expect(() => parseCell('best/2bit-g16')).toThrow('METHOD/RUNG/SEED');
    expect(() => parseCell('best/2bit-g61/0')).toThrow('2bit-g16');
    expect(() => parseCell('bset/2bit-g16/0')).toThrow('Did you mean best?');
    expect(() => parseCell('best/2bit-g16/0/nothing')).toThrow('change');
  });

  it('rounds to nearest once', () => {
    const cells = cellsOf(ALL_METHODS, ['2bit-g16'], 3);
    expect(cells.filter(({ method }) => method === 'rtn')).toHaveLength(1);
    expect(cells).toHaveLength(3 * (ALL_METHODS.length - 1) + 1);
  });
});
