import { createTokenizer, trainByteLevelBpe } from '@speedq/processor';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom } from '../random.ts';
import type { Grammar } from './grammar.ts';
import { jsonSchemaGrammar } from './json-schema.ts';
import { regexpExpression } from './regexp.ts';
import { createConstraints } from './response-constraint.ts';
import type { ResponseConstraint } from './response-constraint.ts';
import { utf8Ranges } from './utf8.ts';
import { matches } from './vocabulary.ts';

const regexpGrammar = (pattern: RegExp): Grammar => ({ root: regexpExpression(pattern), rules: new Map() });

/** What the JavaScript engine says of the whole text. */
const isWhole = (pattern: RegExp, text: string): boolean =>
  new RegExp(`^(?:${pattern.source})$`, `${pattern.flags.replace(/[uvgy]/g, '')}u`).test(text);

describe('utf8Ranges', () => {
  it.each([
    [0, 0x10ffff],
    [0x7f, 0x80],
    [0x7ff, 0x801],
    [0xd7f0, 0xe010],
    [0x3c0, 0x20ac],
    [0xfff0, 0x1f600],
    [0x1f5ff, 0x1f601],
  ])('from %i to %i are the encodings of exactly these code points', (low, high) => {
    const products = utf8Ranges([low, high]);
    const has = (point: number): boolean => {
      const bytes = [...new TextEncoder().encode(String.fromCodePoint(point))];
      const found = products.filter(
        (ranges) =>
          ranges.length === bytes.length && ranges.every(([a, b], i) => a <= bytes[i] && bytes[i] <= b),
      );
      expect(found.length).toBeLessThan(2);
      return found.length === 1;
    };
    for (let point = 0; point <= 0x10ffff; point += point < 0x900 ? 1 : 977) {
      if (point >= 0xd800 && point < 0xe000) continue;
      expect(has(point)).toBe(low <= point && point <= high);
    }
    for (const point of [low - 1, low, high, high + 1]) {
      const exists = point >= 0 && point <= 0x10ffff && (point < 0xd800 || point >= 0xe000);
      if (exists) expect(has(point)).toBe(low <= point && point <= high);
    }
  });
});

describe('a regular expression', () => {
  const PATTERNS = [
    /cat|dog|/,
    /a*b+c?/,
    /(ab|a)(bc|c)*/,
    /a{2}b{1,3}c{2,}/,
    /[a-c]+[^a-c]/,
    /[^\s\d]{1,3}/,
    /\w+\s?\W/,
    /(?:a|(b))c*?/,
    /^(?<name>a+)b$/,
    /./,
    /.{2}/s,
    /é|ü+/,
    /[α-ω]a/,
    /😀{2}|[😀-😂]/u,
    /A[b-d]/i,
    /\x61\u0062\u{63}/u,
    /[\]\-a]+/,
    /(a*)*b/,
    /(?:)/,
    /[-b]a|[a-]/,
    /\t|\n|\//,
    /[^]/,
    /ÉA/i,
    /\ud83d\ude00/,
  ];
  it.each(PATTERNS)('%s takes the texts that the engine matches whole', (pattern) => {
    const grammar = regexpGrammar(pattern);
    const char = fc.constantFrom(...'aabbccdABE-] \n\t/1éÉüαω😀😁{},2'.match(/./gsu)!);
    fc.assert(
      fc.property(fc.string({ unit: char, maxLength: 7 }), (text) => {
        expect(matches(grammar, text)).toBe(isWhole(pattern, text));
      }),
      { seed: 2, numRuns: 150 },
    );
    if (pattern.ignoreCase || /[\^$]|\(\?/.test(pattern.source)) return;
    // Texts that do match are rare among random ones.
    const whole = fc.stringMatching(
      new RegExp(`^(?:${pattern.source})$`, pattern.flags.includes('s') ? 'su' : 'u'),
    );
    fc.assert(
      fc.property(whole, (text) => {
        expect(matches(grammar, text)).toBe(isWhole(pattern, text));
      }),
      { seed: 3, numRuns: 50 },
    );
  });

  it.each([/(?=a)b/, /(?<!a)b/, /(a)\1/, /\bcat/, /\p{L}+/u, /a$b/, /a^b/, /(^a)/, /^a$/m])(
    '%s is refused by name',
    (pattern) => {
      expect(() => regexpGrammar(pattern)).toThrow(expect.objectContaining({ code: 'unsupported' }));
    },
  );

  it('repetitions without measure are refused', () => {
    expect(() => matches(regexpGrammar(/((a{1000}){1000}){1000}/), 'a')).toThrow(/too large/);
  });
});

describe('a JSON schema', () => {
  const CASES: [name: string, schema: object, valid: string[], invalid: string[]][] = [
    [
      'string',
      { type: 'string' },
      ['""', '"a é😀"', '"\\n\\u00e9\\"\\\\"'],
      ['a', '"', '"\n"', '"a"b"', '"\\x"', '"\\ud800"', ' "a"'],
    ],
    [
      'lengths',
      { type: 'string', minLength: 2, maxLength: 3 },
      ['"ab"', '"é😀\\n"'],
      ['"a"', '"abcd"', '""'],
    ],
    ['integer', { type: 'integer' }, ['0', '-7', '120'], ['01', '-', '1.5', '+1', '']],
    ['number', { type: 'number' }, ['0', '-0.5', '1e9', '2.50E-3'], ['.5', '1.', '01', 'NaN', '1e']],
    ['number from 0', { type: 'number', minimum: 0 }, ['0.5'], ['-0.5']],
    ['boolean or null', { type: ['boolean', 'null'] }, ['true', 'false', 'null'], ['True', '0', 'nul']],
    [
      'enum',
      { enum: ['red', 2, null, ['a b']] },
      ['"red"', '2', 'null', '["a b"]'],
      ['"blue"', 'red', '["a  b"]'],
    ],
    ['enum of a type', { type: 'string', enum: ['a', 1] }, ['"a"'], ['1']],
    ['const', { const: { a: [1] } }, ['{"a":[1]}'], ['{"a":[2]}', '{}']],
    [
      'object',
      {
        type: 'object',
        properties: { a: { type: 'integer' }, b: { type: 'string' }, c: {} },
        required: ['a'],
      },
      ['{"a":1}', '{"a": 1, "b": "x"}', '{"a":1,"c":[{}]}', '{"a":1,"b":"","c":null}'],
      ['{}', '{"b":"x"}', '{"b":"x","a":1}', '{"a":1,}', '{,"a":1}', '{"a":1 }', '{"a":1,"d":2}', '{"a":1'],
    ],
    [
      'all optional',
      { properties: { a: {}, b: {} } },
      ['{}', '{"a":1}', '{"b":1}', '{"a":1, "b":2}'],
      ['{,"b":1}', '{"b":1,"a":1}'],
    ],
    [
      'map',
      { type: 'object', additionalProperties: { type: 'integer' } },
      ['{}', '{"x":1, "y":2}'],
      ['{"x":"y"}', '{"x"}'],
    ],
    ['no properties', { type: 'object', additionalProperties: false }, ['{}'], ['{"a":1}']],
    ['array', { items: { type: 'integer' } }, ['[]', '[1]', '[1, 2,3]'], ['[1,]', '[a]', '[1 2]', '[']],
    [
      'limits',
      { type: 'array', items: { const: 1 }, minItems: 2, maxItems: 3 },
      ['[1,1]', '[1,1,1]'],
      ['[1]', '[1,1,1,1]', '[]'],
    ],
    ['none', { type: 'array', maxItems: 0 }, ['[]'], ['[1]']],
    [
      'tuple',
      { prefixItems: [{ type: 'integer' }, { type: 'string' }], items: false },
      ['[1,"a"]'],
      ['[1]', '["a",1]', '[1,"a",2]'],
    ],
    [
      'tuple and more',
      { prefixItems: [{ const: 0 }], items: { const: 1 }, minItems: 3 },
      ['[0,1,1]', '[0,1,1,1]'],
      ['[0,1]', '[1,1,1]'],
    ],
    ['anyOf', { anyOf: [{ type: 'integer' }, { const: 'x' }] }, ['1', '"x"'], ['"y"']],
    [
      'allOf',
      { allOf: [{ properties: { a: { const: 1 } } }, { properties: { b: {} }, required: ['b'] }] },
      ['{"a":1,"b":2}', '{"b":2}'],
      ['{"a":1}'],
    ],
    [
      'a tree by reference',
      {
        $ref: '#/$defs/node',
        $defs: {
          node: {
            type: 'object',
            properties: { v: { type: 'integer' }, next: { $ref: '#/$defs/node' } },
            required: ['v'],
          },
        },
      },
      ['{"v":1}', '{"v":1,"next":{"v":2,"next":{"v":3}}}'],
      ['{"next":{"v":1}}', '{"v":1,"next":{}}', '{"v":1,"next":{"v":2}'],
    ],
    [
      'pattern',
      { type: 'string', pattern: '^a"[b-d]\\\\$' },
      ['"a\\"c\\\\"'],
      ['"a"c\\"', '"a\\"e\\\\"', '"xa\\"c\\\\"'],
    ],
    ['pattern anywhere', { type: 'string', pattern: 'b+' }, ['"b"', '"a\\nbbc"'], ['"ac"', '"a\nb"']],
    ['date', { type: 'string', format: 'date' }, ['"2024-02-29"'], ['"2024-13-01"', '"24-01-01"']],
    [
      'anything',
      {},
      ['null', '[[[{"a":[1,"x",{}]}]]]', '-1.5'],
      ['[', '{"a"}', 'undefined', '{a:1}', '[1,,2]'],
    ],
  ];
  it.each(CASES)('%s', (_, schema, valid, invalid) => {
    const grammar = jsonSchemaGrammar(schema);
    for (const text of valid) expect(matches(grammar, text), text).toBe(true);
    for (const text of invalid) expect(matches(grammar, text), text).toBe(false);
  });

  it.each([
    [0, 5],
    [-3, 12],
    [7, 1234],
    [-250, -19],
    [100, 100],
    [95, 1005],
    [-Infinity, -9],
    [38, Infinity],
  ])('integers from %d to %d', (low, high) => {
    const schema = {
      type: 'integer',
      ...(Number.isFinite(low) && { minimum: low }),
      ...(Number.isFinite(high) && { exclusiveMaximum: high + 1 }),
    };
    const grammar = jsonSchemaGrammar(schema);
    for (let value = -1300; value <= 1300; value++) {
      expect(matches(grammar, String(value)), String(value)).toBe(low <= value && value <= high);
    }
    expect(matches(grammar, '123456789012345')).toBe(high === Infinity);
    expect(matches(grammar, '-123456789012345')).toBe(low === -Infinity);
    expect(matches(grammar, '-0')).toBe(false);
  });

  it.each([
    [{ type: 'object', patternProperties: {} }, /patternProperties/],
    [{ type: 'array', uniqueItems: true }, /uniqueItems/],
    [{ type: 'number', maximum: 2.5 }, /bounds/],
    [{ type: 'integer', minimum: 0.2, maximum: 0.8 }, /without an integer/],
    [{ type: 'string', pattern: 'a', maxLength: 2 }, /more than one/],
    [{ not: { type: 'string' } }, /'not'/],
    [
      { properties: { a: { minProperties: 2, type: 'object' } } },
      /#\/properties\/a has the keyword 'minProperties'/,
    ],
    [{ $ref: 'https://example.org/schema' }, /references into the schema/],
    [{ allOf: [{ type: 'string' }, { type: 'integer' }] }, /'type' at once/],
  ])('%j is refused with what cannot be kept to', (schema, message) => {
    expect(() => jsonSchemaGrammar(schema)).toThrow(message);
  });

  it.each([
    [{ type: 'text' }],
    [{ enum: [] }],
    [{ $ref: '#/$defs/none' }],
    [{ pattern: '(' }],
    [{ minItems: -1 }],
    [[]],
    [null],
  ])('%j is no schema', (schema) => {
    expect(() => jsonSchemaGrammar(schema)).toThrow(expect.objectContaining({ code: 'invalid-argument' }));
  });
});

describe('constraints over a vocabulary', () => {
  const CONTROL = ['<|im_end|>'];
  const corpus = ['{"color": "red", "count": 12, "tags": ["a", "b"]} the cat é 😀 and the dog'];
  const { tokenizerJson } = trainByteLevelBpe(corpus, { vocabSize: 330, specialTokens: CONTROL });
  const tokenizer = createTokenizer(tokenizerJson);
  const constrain = createConstraints(tokenizer);
  const bits = (mask: Uint32Array): number[] =>
    Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter(
      (id) => mask[id >> 5] & (1 << (id & 31)),
    );

  it('allow exactly the tokens after which a text of the grammar can follow', () => {
    // Every text of this grammar is known.
    const texts = ['red', 'reddish', 'cat', 'é', '😀'];
    const constraint = constrain(new RegExp(texts.join('|')));
    const ids: number[] = [];
    const expected = (prefix: Uint8Array): number[] =>
      Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => {
        const bytes = [...prefix, ...tokenizer.bytesOf(id)];
        const goesOn = texts.some((text) => {
          const whole = new TextEncoder().encode(text);
          return bytes.length <= whole.length && bytes.every((byte, i) => byte === whole[i]);
        });
        return goesOn && tokenizer.bytesOf(id).length > 0 && !tokenizer.isSpecial(id);
      });
    for (const id of [...tokenizer.encode('red'), ...tokenizer.encode('d')]) {
      const prefix = Uint8Array.from(ids.flatMap((one) => [...tokenizer.bytesOf(one)]));
      expect(bits(constraint.allowed())).toEqual(expected(prefix));
      expect(constraint.canEnd).toBe(['red'].includes(new TextDecoder().decode(prefix)));
      constraint.accept(id);
      ids.push(id);
    }
    // One answer's progress is not another's.
    expect(constrain(new RegExp(texts.join('|'))).canEnd).toBe(false);
  });

  const SCHEMA = {
    type: 'object',
    properties: {
      color: { enum: ['red', 'green'] },
      count: { type: 'integer', minimum: 1, maximum: 20 },
      tags: { type: 'array', items: { type: 'string', maxLength: 6 }, maxItems: 3 },
      more: { anyOf: [{ type: 'null' }, { $ref: '#' }] },
    },
    required: ['color', 'count'],
  };

  it.each([
    ['a schema', SCHEMA as ResponseConstraint],
    ['anything', {}],
    ['a pattern', /(\w{2,4} ){1,3}é[^a-z]/],
  ])('lead a random walk to a valid end: %s', (_, constraint) => {
    const random = seededRandom(11);
    for (let walk = 0; walk < 30; walk++) {
      const progress = constrain(constraint);
      const ids: number[] = [];
      // Ends as soon as it may, after a while: a walk over nested lists need not end by itself.
      while (!(progress.canEnd && (ids.length > 40 || random() < 0.3))) {
        const allowed = bits(progress.allowed());
        if (allowed.length === 0) break;
        const closing = allowed.filter((id) => /^["\]}]+$/.test(tokenizer.decode([id])));
        const from = ids.length > 40 && closing.length > 0 ? closing : allowed;
        const id = from[Math.floor(random() * from.length)];
        progress.accept(id);
        ids.push(id);
        if (ids.length > 400) break;
      }
      expect(progress.canEnd).toBe(true);
      const text = tokenizer.decode(ids);
      if (constraint instanceof RegExp) {
        expect(isWhole(constraint, text)).toBe(true);
        continue;
      }
      const value = JSON.parse(text) as Record<string, unknown>;
      if (constraint !== SCHEMA) continue;
      expect(['red', 'green']).toContain(value.color);
      expect(value.count).toBeGreaterThanOrEqual(1);
      expect(value.count).toBeLessThanOrEqual(20);
    }
  });

  it('a token that is not allowed is an error', () => {
    expect(() => constrain(/a/).accept(tokenizer.encode('b')[0])).toThrow(/does not allow/);
  });
});
