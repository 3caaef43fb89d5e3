import { elementCount, parameterInventory, parseConfig } from '@speedq/model';
import { createTokenizer, openTokenizer, stopTokenIds, synthesizeTokenizerJson } from '@speedq/processor';
import { expect, test } from 'vitest';
import { RELEASED_VOCABULARY, releasedConfig } from './released-shapes.ts';
import { syntheticVocabulary } from './synthetic-tokenizer.ts';

/** Parameter counts of the released checkpoints. */
test.each([
  ['1b', 938_193_024],
  ['2b', 2_088_957_440],
] as const)('%s has the shapes of the released model, in both layouts', (size, parameters) => {
  const huggingFace = parseConfig(releasedConfig({ size, layout: 'huggingface' }));
  const original = parseConfig(releasedConfig({ size, layout: 'original' }));
  expect(original).toEqual({ ...huggingFace, layout: 'original' });
  const inventory = parameterInventory(huggingFace);
  expect(inventory.reduce((sum, { shape }) => sum + elementCount(shape), 0)).toBe(parameters);
});

test('layers can be cut', () => {
  const config = parseConfig(
    releasedConfig({ size: '1b', layout: 'huggingface', visionLayers: 2, languageLayers: 3 }),
  );
  expect([config.vision.numLayers, config.language.numLayers]).toEqual([2, 3]);
});

test('the tokenizer has the special tokens under the released ids, whichever files hold it', () => {
  const { vocab, merges, addedTokens } = syntheticVocabulary();
  const single = createTokenizer(synthesizeTokenizerJson(vocab, merges, addedTokens));
  const several = openTokenizer({
    'vocab.json': JSON.stringify(vocab),
    'merges.txt': merges,
    'added_tokens.json': JSON.stringify(addedTokens),
  });
  for (const tokenizer of [single, several]) {
    expect(tokenizer.vocabSize).toBe(RELEASED_VOCABULARY);
    expect(stopTokenIds(tokenizer)).toEqual([151_645, 151_643]);
    expect(
      ['<|im_start|>', '<tool_call>', '<|file_sep|>', '<img>', '</img>', '<IMG_CONTEXT>', '</box>'].map(
        (token) => tokenizer.tokenToId(token),
      ),
    ).toEqual([151_644, 151_657, 151_664, 151_665, 151_666, 151_667, 151_673]);
    const text = 'Größe 7 — 尺寸\u0000\n';
    const ids = tokenizer.encode(text);
    expect(ids.length).toBe(new TextEncoder().encode(text).length);
    expect(tokenizer.decode(ids)).toBe(text);
  }
});
