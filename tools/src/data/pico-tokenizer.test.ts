import { readFileSync } from 'node:fs';
import { createTokenizer, openTokenizer } from '@speedq/processor';
import { describe, expect, it } from 'vitest';
import { createGenerator, defaultMix, emojiKinds } from './index.ts';
import { colours, glyphs, shapeNames } from './labels.ts';
import { readableWords } from './words.ts';

const file = (name: string): string =>
  readFileSync(new URL(`../../models/pico/${name}`, import.meta.url), 'utf8');
const tokenizerJson = JSON.parse(file('tokenizer.json')) as { model: { vocab: Record<string, number> } };
const tokenizer = createTokenizer(tokenizerJson);
const pieces = (text: string): number => tokenizer.encode(text).length;

describe('the tokenizer of pico', () => {
  it('fills a multiple of 128 with InternVL’s added tokens last', () => {
    expect(tokenizer.vocabSize % 128).toBe(0);
    expect(tokenizer.vocabSize).toBeLessThanOrEqual(2048);
    const ids = tokenizer.addedTokens.map(({ id }) => id);
    expect(ids).toEqual(Array.from({ length: 31 }, (_, i) => tokenizer.vocabSize - 31 + i));
    expect(tokenizer.addedTokens[0].content).toBe('<|endoftext|>');
    expect(tokenizer.addedTokens.at(-1)!.content).toBe('</box>');
    expect(tokenizer.tokenToId('<IMG_CONTEXT>')).toBe(tokenizer.vocabSize - 7);
  });

  it('has one token for each name, colour and shape after a space, at most two for a Chinese name', () => {
    for (const { name, chinese } of emojiKinds) {
      expect(pieces(` ${name}`), name).toBe(1);
      expect(pieces(chinese), chinese).toBeLessThanOrEqual(2);
    }
    for (const word of [...colours.map(({ name }) => name), ...shapeNames])
      expect(pieces(` ${word}`), word).toBe(1);
  });

  it('spells what is to be read, one token a character', () => {
    for (const word of [...readableWords, 'XQZ', '8554', '22222'])
      expect(pieces(word), word).toBe(word.length);
    const shouting = Object.keys(tokenizerJson.model.vocab).filter((token) => /[A-Z\d]{2}/.test(token));
    expect(shouting).toEqual([]);
    for (const glyph of glyphs) expect(pieces(glyph)).toBe(1);
  });

  it('gives back every text of the data set', () => {
    const generator = createGenerator({ seed: 31, questionsOnly: true, mix: defaultMix });
    let tokens = 0;
    let count = 0;
    for (let index = 0; index < 500; index++) {
      for (const { question, answer } of generator.sample(index).questions) {
        for (const text of [question, answer]) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
        tokens += pieces(question) + pieces(answer);
        count++;
      }
    }
    // Multiple choice takes about 35, the rest about 10.
    expect(tokens / count).toBeLessThan(20);
  });

  it('reads the same from the files of an original-layout folder', () => {
    const names = ['vocab.json', 'merges.txt', 'added_tokens.json', 'tokenizer_config.json'];
    const original = openTokenizer(Object.fromEntries(names.map((name) => [name, file(name)])));
    const text = 'How many horses are there? 图中有什么？ A red star at the middle left. "ZOO"';
    expect(original.encode(text)).toEqual(tokenizer.encode(text));
  });
});
