import { assert, json, property } from 'fast-check';
import { expect, it } from 'vitest';
import { parseJson } from './json.ts';

it('reads what JSON.parse reads', () => {
  assert(
    property(json(), (text) => {
      expect(parseJson(text)).toEqual(JSON.parse(text));
    }),
  );
  expect(parseJson(String.raw`{"a\\":"[[,,\"[","b":[]}`)).toEqual({ 'a\\': '[[,,"[', b: [] });
});

it.each([
  ['depth', '['.repeat(65) + ']'.repeat(65), /64 deep/],
  ['empty arrays', `[${'[],'.repeat(400_000)}[]]`, /more than \d+ values/],
  ['numbers', `[${'1,'.repeat(400_000)}1]`, /more than \d+ values/],
  ['an open string', '"abc', /JSON/],
  ['a lone quote', '"\\"', /JSON/],
])('refuses %s', (_, text, message) => {
  expect(() => parseJson(text)).toThrow(message);
});
