import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createTokenizer, openTokenizer } from './tokenizer/tokenizer.ts';
import { trainByteLevelBpe } from './train-bpe.ts';

const fixture = (name: string): string =>
  readFileSync(new URL(`../test-fixtures/${name}`, import.meta.url), 'utf8');
const corpus = fixture('bpe-corpus.txt').split('\n');

test('learns the merges that Python tokenizers learns from the same texts', () => {
  const reference = JSON.parse(fixture('tokenizer.json')) as {
    model: { vocab: Record<string, number>; merges: [string, string][] };
  };
  const { tokenizerJson } = trainByteLevelBpe(corpus, { vocabSize: 700, specialTokens: [] });
  expect(tokenizerJson.model.merges).toEqual(reference.model.merges);
  expect(tokenizerJson.model.vocab).toEqual(reference.model.vocab);
});

test('puts special tokens after the vocabulary; the order of the texts does not matter', () => {
  const options = {
    vocabSize: 400,
    specialTokens: ['<|endoftext|>', { content: '<tool_call>', special: false }],
  };
  const trained = trainByteLevelBpe(corpus, options);
  expect(trained.vocabSize).toBe(400);
  const tokenizer = createTokenizer(trained.tokenizerJson);
  expect(tokenizer.vocabSize).toBe(400);
  expect(tokenizer.addedTokens).toMatchObject([
    { content: '<|endoftext|>', id: 398, special: true },
    { content: '<tool_call>', id: 399, special: false },
  ]);
  expect(tokenizer.tokenToId('!')).toBe(0);
  expect(trainByteLevelBpe([...corpus].reverse(), options)).toEqual(trained);
});

test('its vocab.json, merges.txt and added_tokens.json are the same tokenizer', () => {
  const trained = trainByteLevelBpe(corpus, { vocabSize: 500, specialTokens: ['<img>'] });
  const fromFiles = openTokenizer({
    'vocab.json': JSON.stringify(trained.vocabJson),
    'merges.txt': trained.mergesText,
    'added_tokens.json': JSON.stringify(trained.addedTokensJson),
  });
  const tokenizer = createTokenizer(trained.tokenizerJson);
  const text = corpus.join('\n') + '<img>';
  const ids = tokenizer.encode(text, { allowSpecial: true });
  expect(fromFiles.encode(text, { allowSpecial: true })).toEqual(ids);
  expect(ids.length).toBeLessThan(text.length / 1.5);
});

test('stops when no pair is left', () => {
  const { vocabSize, tokenizerJson } = trainByteLevelBpe(['aaaa aaaa', 'ab ab'], {
    vocabSize: 1000,
    specialTokens: [],
  });
  expect(vocabSize).toBe(256 + tokenizerJson.model.merges.length);
  expect(tokenizerJson.model.merges[0]).toEqual(['a', 'a']);
});

test.each([100, 256.5, 2 ** 22])('refuses a vocabulary of %d', (vocabSize) => {
  expect(() => trainByteLevelBpe([], { vocabSize, specialTokens: [] })).toThrow(
    expect.objectContaining({ code: 'invalid-argument' }),
  );
});

test('refuses a special token listed twice', () => {
  expect(() => trainByteLevelBpe([], { vocabSize: 300, specialTokens: ['<a>', '<a>'] })).toThrow(
    expect.objectContaining({ code: 'invalid-argument' }),
  );
});
