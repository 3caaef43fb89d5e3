import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createTokenizer, openTokenizer } from './tokenizer.ts';
import { createStreamDecoder } from './stream-decoder.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`../../test-fixtures/${name}`, import.meta.url), 'utf8');
const source = fixture('tokenizer.json');
const tokenizer = openTokenizer({ 'tokenizer.json': source });
const cases = JSON.parse(fixture('tokenizer-cases.json')) as {
  text: string;
  recognised: number[];
  plain: number[];
  decoded: string;
  skipped: string;
}[];

/** Any Unicode text without lone surrogates (they have no UTF-8 form). */
const unicode = fc.string({ unit: 'binary', maxLength: 200 });

describe('against Python tokenizers', () => {
  test.each(cases.map((entry, index) => [index, entry] as const))('case %i', (_, entry) => {
    expect(tokenizer.encode(entry.text, { allowSpecial: true })).toEqual(entry.recognised);
    expect(tokenizer.decode(entry.recognised)).toBe(entry.decoded);
    expect(tokenizer.decode(entry.recognised, { skipSpecial: true })).toBe(entry.skipped);
    expect(tokenizer.encode(entry.text)).toEqual(entry.plain);
  });

  test('the fixture has cases that merge and cases where special tokens matter', () => {
    expect(cases.length).toBeGreaterThan(80);
    expect(cases.some(({ recognised, plain }) => recognised.length < plain.length)).toBe(true);
    expect(cases.some(({ text, plain }) => plain.length < text.length / 2)).toBe(true);
  });
});

describe('encode', () => {
  test('then decode gives the NFC form back, whatever the text', () => {
    fc.assert(
      fc.property(unicode, (text) => {
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.normalize('NFC'));
      }),
      { numRuns: 500 },
    );
  });

  test('never yields a special token unless allowed', () => {
    const contents = tokenizer.addedTokens.map(({ content }) => content);
    const hostile = fc.array(
      fc.oneof(fc.constantFrom(...contents), unicode, fc.constantFrom('<|', 'im_', '|>')),
    );
    fc.assert(
      fc.property(hostile, (parts) => {
        expect(tokenizer.encode(parts.join('')).filter((id) => tokenizer.isSpecial(id))).toEqual([]);
      }),
    );
  });

  test('recognises only the special tokens named', () => {
    const allowSpecial = new Set(['<ref>']);
    const ids = tokenizer.encode('<ref><img>', { allowSpecial });
    expect(ids.filter((id) => tokenizer.isSpecial(id))).toEqual([tokenizer.tokenToId('<ref>')]);
    expect(tokenizer.decode(ids)).toBe('<ref><img>');
  });

  test('takes a lone surrogate for U+FFFD', () => {
    expect(tokenizer.encode('a\ud800b')).toEqual(tokenizer.encode('a\ufffdb'));
  });

  test('copes with 100,000 characters without a break', () => {
    for (const unit of ['a', '好', 'redgreen', ' ', '!', '\n']) {
      const text = unit.repeat(Math.floor(100_000 / unit.length));
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  test('refuses texts beyond the limit', () => {
    expect(() => tokenizer.encode('a'.repeat(1_048_577))).toThrow(
      expect.objectContaining({ code: 'invalid-argument', message: expect.stringContaining('1048577') }),
    );
  });

  test('takes the longest of the added tokens that fit', () => {
    const ids = tokenizer.encode('<tool_call_more><tool_call>');
    expect(ids).toEqual([tokenizer.tokenToId('<tool_call_more>'), tokenizer.tokenToId('<tool_call>')]);
  });
});

describe('decode', () => {
  test('ids without a token give nothing, halves of characters U+FFFD', () => {
    expect(tokenizer.decode([tokenizer.vocabSize + 5])).toBe('');
    const [first] = [...tokenizer.encode('🜚')];
    expect(tokenizer.decode([first])).toBe('\ufffd');
  });

  test('streaming never shows half a character and adds up to the whole', () => {
    fc.assert(
      fc.property(unicode, (text) => {
        const stream = createStreamDecoder(tokenizer);
        const pieces = tokenizer.encode(text).map((id) => stream.push(id));
        expect(stream.finish()).toBe('');
        expect(pieces.join('')).toBe(text.normalize('NFC'));
        for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}/u);
        if (!text.includes('\ufffd')) expect(pieces.join('')).not.toContain('\ufffd');
      }),
    );
  });

  test('streaming of any ids equals decoding them', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: tokenizer.vocabSize })), (ids) => {
        const stream = createStreamDecoder(tokenizer, { skipSpecial: false });
        expect(ids.map((id) => stream.push(id)).join('') + stream.finish()).toBe(tokenizer.decode(ids));
      }),
    );
  });
});

describe('files of an original-layout folder', () => {
  const json = JSON.parse(source) as {
    model: { vocab: Record<string, number>; merges: [string, string][] };
    added_tokens: { id: number; content: string; special: boolean }[];
  };
  const files = {
    'vocab.json': JSON.stringify(json.model.vocab),
    'merges.txt': ['#version: 0.2', ...json.model.merges.map((pair) => pair.join(' ')), ''].join('\n'),
    'added_tokens.json': JSON.stringify(
      Object.fromEntries(json.added_tokens.map(({ content, id }) => [content, id])),
    ),
  };

  test('give the same tokenizer', () => {
    const config = {
      added_tokens_decoder: Object.fromEntries(json.added_tokens.map((token) => [token.id, token])),
    };
    const synthesized = openTokenizer({ ...files, 'tokenizer_config.json': JSON.stringify(config) });
    for (const { text, recognised } of cases) {
      expect(synthesized.encode(text, { allowSpecial: true })).toEqual(recognised);
    }
    expect(synthesized.addedTokens).toEqual(tokenizer.addedTokens);
  });

  test('without flags, the tool and code tokens are not special, all others are', () => {
    const synthesized = openTokenizer(files);
    const plain = synthesized.addedTokens.filter(({ special }) => !special).map(({ content }) => content);
    expect(plain).toEqual(['<tool_call>', '</tool_call>']);
  });

  test('a merge of # is not taken for the header', () => {
    const vocab = { ...json.model.vocab, '##': 5000 };
    const synthesized = openTokenizer({
      'vocab.json': JSON.stringify(vocab),
      'merges.txt': '#version: 0.2\n# #\n',
    });
    expect(synthesized.encode('##')).toEqual([5000]);
  });

  test.each([
    ['nothing at all', {}],
    ['vocab.json alone', { 'vocab.json': '{}' }],
    ['broken JSON', { 'tokenizer.json': '{"model":' }],
    ['a merge of three', { ...files, 'merges.txt': 'a b c' }],
    ['added_tokens.json as a list', { ...files, 'added_tokens.json': '[]' }],
    [
      'a conflicting id',
      { ...files, 'tokenizer_config.json': '{"added_tokens_decoder":{"3":{"content":"<img>"}}}' },
    ],
  ])('%s is an invalid tokenizer', (_, given) => {
    expect(() => openTokenizer(given)).toThrow(expect.objectContaining({ code: 'invalid-tokenizer' }));
  });
});

describe('malformed tokenizer.json', () => {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  type Mutable = any;
  const altered = (change: (json: Mutable) => void): unknown => {
    const json: Mutable = JSON.parse(source);
    change(json);
    return json;
  };
  const mutations: [string, (json: Mutable) => void, string][] = [
    ['no model', (j) => delete j.model, 'model must be an object'],
    ['another model type', (j) => (j.model.type = 'Unigram'), 'Unigram'],
    ['a missing byte', (j) => delete j.model.vocab['Ġ'], 'byte 32'],
    ['a fractional id', (j) => (j.model.vocab.a = 1.5), '1.5'],
    ['a huge id', (j) => (j.model.vocab.a = 1e12), '1000000000000'],
    ['an id twice', (j) => (j.model.vocab.a = j.model.vocab.b), 'belongs to both'],
    ['an empty token', (j) => (j.model.vocab[''] = 9000), '0 characters'],
    ['merges missing', (j) => delete j.model.merges, 'merges must be a list'],
    ['a merge of numbers', (j) => (j.model.merges[3] = [1, 2]), 'merge 3'],
    ['a merge of unknown tokens', (j) => (j.model.merges[3] = ['zz', 'qq']), 'merge 3'],
    [
      'a merge that forges a special token',
      (j) => {
        j.model.vocab['<|'] = 5000;
        j.model.merges.push(['<', '|']);
        j.added_tokens.push({ id: 5000, content: '<|', special: true });
      },
      'forge',
    ],
    ['another pattern', (j) => (j.pre_tokenizer.pretokenizers[0].pattern.Regex = '(a+)+$'), '(a+)+$'],
    ['another normalizer', (j) => (j.normalizer = { type: 'Lowercase' }), 'Lowercase'],
    ['byte fallback', (j) => (j.model.byte_fallback = true), 'byte_fallback'],
    ['prefix space', (j) => (j.pre_tokenizer.pretokenizers[1].add_prefix_space = true), 'add_prefix_space'],
    [
      'a post-processor that adds tokens',
      (j) => (j.post_processor = { type: 'TemplateProcessing' }),
      'Template',
    ],
    ['an added token with lstrip', (j) => (j.added_tokens[0].lstrip = true), 'lstrip'],
    ['an added token twice', (j) => j.added_tokens.push({ ...j.added_tokens[0] }), 'twice'],
    ['an added token on a taken id', (j) => (j.added_tokens[0].id = 5), 'belongs to both'],
    ['an added token without content', (j) => (j.added_tokens[0].content = 7), 'content'],
  ];
  test.each(mutations)('%s', (_, change, message) => {
    expect(() => createTokenizer(altered(change))).toThrow(
      expect.objectContaining({ code: 'invalid-tokenizer', message: expect.stringContaining(message) }),
    );
  });

  test('any JSON gives a tokenizer error and nothing else', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (json) => {
        expect(() => createTokenizer(json)).toThrow(expect.objectContaining({ code: 'invalid-tokenizer' }));
      }),
    );
  });

  test('control tokens are special whatever the file says', () => {
    const opened = createTokenizer(
      altered((j) => j.added_tokens.forEach((token: Mutable) => (token.special = false))),
    );
    expect(opened.encode('<img>').length).toBeGreaterThan(1);
    expect(opened.encode('<ref>')).toEqual([opened.tokenToId('<ref>')]);
  });
});
