import { expect, test } from 'vitest';
import { RECIPES, asReference } from '../recipes/recipes.ts';
import type { Fingerprint } from './fingerprint.ts';
import { differences, requireSame } from './fingerprint.ts';

const RUN: Fingerprint = {
  ...{
    model: 'aa',
    data: 'bb',
    method: 'speedq',
    recipe: RECIPES.quick,
    stages: [1, 2, 3],
    seed: 0,
    threads: 2,
    device: 'cpu',
    version: 1,
  },
};

test('the same run differs in nothing, whatever the order of its keys', () => {
  const { recipe, ...rest } = RUN;
  expect(differences(RUN, { recipe: { ...recipe }, ...rest })).toEqual([]);
});

test('names what differs', () => {
  expect(differences(RUN, { ...RUN, seed: 1, model: 'cc' })).toEqual([
    'the files of model',
    'seed (was 0, is 1)',
  ]);
  const longer = { ...RECIPES.quick, stage3: { ...RECIPES.quick.stage3, steps: 7777 } };
  expect(differences(RUN, { ...RUN, recipe: longer })).toEqual([
    `recipe.stage3.steps (was ${RECIPES.quick.stage3.steps}, is 7777)`,
  ]);
  expect(() => requireSame(RUN, { ...RUN, recipe: asReference(RUN.recipe) }, '.out.work')).toThrow(
    /recipe\.fixes\.noDropPath \(was true, is false\)/,
  );
});
