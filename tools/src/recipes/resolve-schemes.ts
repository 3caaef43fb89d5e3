import { SpeedqError, checkScheme, namedScheme } from '@speedq/format';
import type { BilevelScheme, SymmetricScheme } from '@speedq/format';
import type { ParameterSpec } from '@speedq/model';
import { didYouMean } from '../cli/suggest.ts';
import type { Recipe, RecipeScheme } from './schema.ts';

/** How a tensor is stored; 'float' leaves fp16 or float32 to its values. */
export type ResolvedScheme = BilevelScheme | SymmetricScheme | 'float';

/**
 * The scheme of every parameter. Only linear weights and the two tables are ever quantized.
 * Throws `invalid-recipe` for a module nobody has, `shape-mismatch` where a scheme does not fit a tensor.
 */
export function resolveSchemes(
  recipe: Recipe,
  parameters: readonly ParameterSpec[],
): ReadonlyMap<string, ResolvedScheme> {
  const modules = Object.entries(recipe.schemes.modules);
  const unused = new Set(modules.map(([module]) => module));
  const resolved = new Map<string, ResolvedScheme>();
  for (const parameter of parameters) {
    const { name, role, part } = parameter;
    let scheme: RecipeScheme = 'float';
    if (role === 'linear' || role === 'embedding') {
      scheme = recipe.schemes[part];
      for (const [module, override] of modules) {
        if (!isModule(name, module)) continue;
        scheme = override;
        unused.delete(module);
      }
    }
    resolved.set(name, check(scheme, parameter));
  }
  for (const module of unused) {
    const known = new Set(
      parameters.flatMap(({ name, role }) => (role === 'linear' ? [moduleName(name).split('.').pop()!] : [])),
    );
    throw new SpeedqError(
      'invalid-recipe',
      `Recipe ${recipe.name}: the model has no linear module named ${JSON.stringify(module)} ` +
        `(schemes.modules).${didYouMean(module, known)}`,
    );
  }
  return resolved;
}

function moduleName(parameter: string): string {
  return parameter.replace(/\.weight$/, '');
}

function isModule(parameter: string, module: string): boolean {
  const name = moduleName(parameter);
  return name === module || name.endsWith(`.${module}`);
}

function check(name: RecipeScheme, parameter: ParameterSpec): ResolvedScheme {
  const scheme = name === 'float' ? undefined : namedScheme(name, parameter.shape[1]);
  if (scheme === undefined || scheme.kind === 'float') return 'float';
  checkScheme(scheme, parameter.shape, parameter.name);
  return scheme;
}
