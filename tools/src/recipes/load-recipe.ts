import { SpeedqError } from '@speedq/format';
import { basename } from 'node:path';
import * as v from 'valibot';
import { didYouMean } from '../cli/suggest.ts';
import { readJsonFile } from '../json-file.ts';
import { RECIPES } from './recipes.ts';
import { recipeSchema } from './schema.ts';
import type { Recipe } from './schema.ts';

type Json = Readonly<Record<string, unknown>>;

const MAX_RECIPE_BYTES = 1 << 20;

/** A recipe by its name, or from a JSON file. Throws `invalid-recipe`. */
export async function loadRecipe(nameOrFile: string): Promise<Recipe> {
  if (Object.hasOwn(RECIPES, nameOrFile)) return RECIPES[nameOrFile];
  if (!nameOrFile.endsWith('.json')) {
    throw new SpeedqError(
      'invalid-recipe',
      `There is no recipe ${JSON.stringify(nameOrFile)}; the named ones are ${Object.keys(RECIPES).join(', ')}, ` +
        `and a file must end in .json.${didYouMean(nameOrFile, Object.keys(RECIPES))}`,
    );
  }
  const json = await readJsonFile(nameOrFile, { code: 'invalid-recipe', maxBytes: MAX_RECIPE_BYTES });
  return parseRecipe(json, nameOrFile);
}

/**
 * A recipe as a file has it: either everything, or `{ "extends": "2bit", … }` with what differs. Throws
 * `invalid-recipe` naming the key.
 */
export function parseRecipe(json: unknown, file = 'recipe'): Recipe {
  if (!isObject(json)) {
    throw new SpeedqError('invalid-recipe', `${file}: expected a JSON object such as {"extends": "2bit"}.`);
  }
  const { extends: base, ...changes } = json;
  let whole: Json = changes;
  if (base !== undefined) {
    if (typeof base !== 'string' || !Object.hasOwn(RECIPES, base)) {
      throw new SpeedqError(
        'invalid-recipe',
        `${file}: extends is ${JSON.stringify(base)}; expected one of ${Object.keys(RECIPES).join(', ')}.`,
      );
    }
    whole = merge(RECIPES[base], { name: basename(file, '.json'), ...changes });
  }
  const result = v.safeParse(recipeSchema, whole);
  if (result.success) return result.output;
  // An unknown key often explains a missing one beside it: it comes first.
  const issue = result.issues.find(isUnknownKey) ?? result.issues[0];
  throw new SpeedqError('invalid-recipe', `${file}: ${describe(issue)}`);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function merge(base: Json, changes: Json): Json {
  // Without a prototype "__proto__" is a key like any other, and is refused like any other.
  const merged = Object.assign(Object.create(null) as Record<string, unknown>, base);
  for (const [key, value] of Object.entries(changes)) {
    const before = Object.hasOwn(base, key) ? base[key] : undefined;
    merged[key] = isObject(before) && isObject(value) ? merge(before, value) : value;
  }
  return merged;
}

type Issue = v.InferIssue<typeof recipeSchema>;

function isUnknownKey(issue: Issue): boolean {
  return issue.type === 'strict_object' && issue.expected === 'never';
}

function describe(issue: Issue): string {
  const path = (issue.path ?? []).map(({ key }) => String(key));
  const name = path.join('.');
  if (isUnknownKey(issue)) {
    const key = path[path.length - 1];
    const known = knownKeys(path.slice(0, -1));
    return `unknown key ${name}.${didYouMean(key, known)} Known here: ${known.join(', ')}.`;
  }
  if (issue.type === 'strict_object' && issue.received === 'undefined') {
    return `${name} is missing. Write it, or start from a named recipe with {"extends": "2bit", …}.`;
  }
  return `${name}: ${issue.message}.`;
}

/** Keys of the schema at a path, read off a recipe that has them all. */
function knownKeys(path: readonly string[]): string[] {
  let value: unknown = RECIPES['2bit'];
  for (const key of path) value = isObject(value) ? value[key] : undefined;
  const keys = isObject(value) ? Object.keys(value) : [];
  return path.length === 0 ? ['extends', ...keys] : keys;
}
