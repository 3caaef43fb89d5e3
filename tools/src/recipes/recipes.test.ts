import { SCHEMES } from '@speedq/format';
import type { ParameterSpec } from '@speedq/model';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { parseRecipe } from './load-recipe.ts';
import { RECIPES, asReference } from './recipes.ts';
import { resolveSchemes } from './resolve-schemes.ts';
import { recipeSchema } from './schema.ts';

const parameters: ParameterSpec[] = [
  { name: 'vision_tower.embeddings.patch.weight', shape: [128, 3, 14, 14], part: 'vision', role: 'conv' },
  { name: 'vision_tower.encoder.layer.0.mlp.fc1.weight', shape: [128, 128], part: 'vision', role: 'linear' },
  { name: 'projector.linear_1.weight', shape: [128, 512], part: 'projector', role: 'linear' },
  { name: 'embed.weight', shape: [100, 128], part: 'embedding', role: 'embedding' },
  ...['q_proj', 'up_proj', 'gate_proj'].map((name): ParameterSpec => ({
    name: `language.layers.0.${name}.weight`,
    shape: [128, 128],
    part: 'language',
    role: 'linear',
    layer: 0,
  })),
  { name: 'language.layers.0.q_proj.bias', shape: [128], part: 'language', role: 'bias', layer: 0 },
  { name: 'head.weight', shape: [100, 128], part: 'head', role: 'linear' },
];

test.each(Object.entries(RECIPES))('recipe %s is valid under its own name', (name, recipe) => {
  expect(v.parse(recipeSchema, recipe)).toEqual(recipe);
  expect(recipe.name).toBe(name);
  expect(v.parse(recipeSchema, asReference(recipe)).fixes).not.toEqual(recipe.fixes);
});

describe('a recipe file', () => {
  test('changes what it names in the recipe it extends', () => {
    const recipe = parseRecipe({ extends: '2bit', stage3: { steps: 7 } }, 'dir/mine.json');
    expect(recipe).toEqual({
      ...RECIPES['2bit'],
      name: 'mine',
      stage3: { ...RECIPES['2bit'].stage3, steps: 7 },
    });
  });

  test.each<[string, unknown, RegExp]>([
    [
      'an unknown key',
      { extends: '2bit', stage3: { step: 7 } },
      /unknown key stage3\.step\. Did you mean steps\?/,
    ],
    [
      'an unknown key at the top',
      { extends: '2bit', stage4: {} },
      /unknown key stage4\. Did you mean stage1/,
    ],
    ['an unknown scheme', { extends: '2bit', schemes: { vision: '5bit' } }, /schemes\.vision/],
    ['a number out of range', { extends: '2bit', stage1: { warmFraction: 2 } }, /stage1\.warmFraction/],
    ['a missing section', { name: 'x' }, /schemes is missing.*extends/],
    ['an unknown base', { extends: '1bit' }, /extends is "1bit"; expected one of 2bit/],
    ['no object', [], /expected a JSON object/],
    [
      'a polluting key',
      JSON.parse('{"extends": "2bit", "__proto__": {"steps": 1}}'),
      /unknown key __proto__/,
    ],
  ])('%s is refused', (_, json, message) => {
    expect(() => parseRecipe(json)).toThrow(
      expect.objectContaining({ code: 'invalid-recipe', message: expect.stringMatching(message) }),
    );
  });
});

describe('schemes of tensors', () => {
  test('by part; what is no matrix product stays float', () => {
    const resolved = resolveSchemes(RECIPES['4bit'], parameters);
    expect([...resolved.values()]).toEqual([
      'float',
      SCHEMES['4bit-g32'],
      'float',
      SCHEMES['4bit-symmetric'],
      SCHEMES['4bit-g32'],
      SCHEMES['4bit-g32'],
      SCHEMES['4bit-g32'],
      'float',
      SCHEMES['4bit-symmetric'],
    ]);
  });

  test('by module in the mixed recipe', () => {
    const resolved = resolveSchemes(RECIPES.mixed, parameters);
    expect(resolved.get('language.layers.0.q_proj.weight')).toBe(SCHEMES['4bit-g32-qq16']);
    expect(resolved.get('language.layers.0.up_proj.weight')).toBe(SCHEMES['2bit-g16']);
  });

  test('a module that nobody has is refused', () => {
    const recipe = parseRecipe({ extends: '2bit', schemes: { modules: { gate_prj: '4bit-g32' } } });
    expect(() => resolveSchemes(recipe, parameters)).toThrow(/no linear module named "gate_prj".*gate_proj/);
  });

  test('a scheme that does not fit a tensor is refused, naming it', () => {
    const odd = parameters.map((spec) => (spec.role === 'linear' ? { ...spec, shape: [64, 128] } : spec));
    expect(() => resolveSchemes(RECIPES['4bit'], odd)).toThrow(
      expect.objectContaining({ code: 'shape-mismatch', message: expect.stringContaining('mlp.fc1.weight') }),
    );
  });
});
