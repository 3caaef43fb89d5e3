import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkStopStrings, createStopFilter } from './stop-strings.ts';

/** The text cut before the first stop string, by looking at the whole of it. */
function cut(text: string, stops: readonly string[]): string {
  const ends = stops.map((stop) => text.indexOf(stop)).filter((index) => index >= 0);
  return ends.length > 0 ? text.slice(0, Math.min(...ends)) : text;
}

describe('createStopFilter', () => {
  it('never lets go of what may become a stop string, and gives it back where it does not', () => {
    const filter = createStopFilter(['END', 'NO']);
    expect(['a', 'E', 'N', 'x', 'bEN', 'EN', 'D', 'rest'].map((piece) => filter.push(piece))).toEqual([
      'a',
      '',
      '',
      'ENx',
      'b',
      'EN',
      '',
      '',
    ]);
    expect(filter.stopped).toBe(true);
    expect(filter.finish()).toBe('');
  });

  it('gives the held end back when the answer ends there', () => {
    const filter = createStopFilter(['STOP']);
    expect(filter.push('it STO')).toBe('it ');
    expect(filter.finish()).toBe('STO');
    expect(filter.stopped).toBe(false);
  });

  it('cuts any text in any pieces as one cuts it whole', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(letters, { maxLength: 12 }),
        fc.array(letters, { maxLength: 3 }),
        (pieces, stops) => {
          const filter = createStopFilter(stops);
          let seen = '';
          for (const piece of pieces) {
            seen += filter.push(piece);
            // What has been shown is never taken back.
            expect(cut(pieces.join(''), stops).startsWith(seen)).toBe(true);
          }
          expect(seen + filter.finish()).toBe(cut(pieces.join(''), stops));
        },
      ),
      { seed: 1 },
    );
  });
});

it('an empty stop string is an error', () => {
  expect(() => checkStopStrings(['a', ''])).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
});
