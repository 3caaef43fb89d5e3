/** Compute programs as data: WGSL text made by pure functions, and what each binding is. */

export type Access = 'uniform' | 'read' | 'write';

export interface Binding {
  readonly type: string;
  readonly access: Access;
}

export interface Program {
  readonly label: string;
  readonly code: string;
  /** In binding order, group 0. */
  readonly bindings: readonly Access[];
}

/**
 * What a plan run is told, in one uniform buffer. `count`: new tokens of the language plans, tiles of the
 * vision plan. `past`: tokens already in the KV cache. `generated`: where the next chosen token goes.
 */
const PARAMS = 'struct Params { count: u32, past: u32, generated: u32, unused: u32 }';
export const PARAMS_BYTES = 16;

export const params: Binding = { type: 'Params', access: 'uniform' };
export const floats = (access: Access): Binding => ({ type: 'array<f32>', access });
export const vectors = (access: Access): Binding => ({ type: 'array<vec4<f32>>', access });
export const words = (access: Access): Binding => ({ type: 'array<u32>', access });
export const wordPairs = (access: Access): Binding => ({ type: 'array<vec2<u32>>', access });
export const wordVectors = (access: Access): Binding => ({ type: 'array<vec4<u32>>', access });

const ADDRESS_SPACE: Record<Access, string> = {
  uniform: 'uniform',
  read: 'storage, read',
  write: 'storage, read_write',
};

/** What a program may ask of a device beyond what every one has: features, and extensions of the language. */
export type Need = 'subgroups' | 'shader-f16' | 'packed_4x8_integer_dot_product';

const DIRECTIVE: Record<Need, string> = {
  subgroups: 'enable subgroups;',
  'shader-f16': 'enable f16;',
  packed_4x8_integer_dot_product: 'requires packed_4x8_integer_dot_product;',
};

/** Joins declarations and body. Entries of `bindings` that are undefined are left out. */
export function program(
  label: string,
  bindings: Readonly<Record<string, Binding | undefined>>,
  body: string,
  needs: readonly Need[] = [],
): Program {
  const present = Object.entries(bindings).filter(
    (entry): entry is [string, Binding] => entry[1] !== undefined,
  );
  const declarations = present.map(
    ([name, { type, access }], index) =>
      `@group(0) @binding(${index}) var<${ADDRESS_SPACE[access]}> ${name}: ${type};`,
  );
  return {
    label,
    code: [...needs.map((need) => DIRECTIVE[need]), PARAMS, ...declarations, body.trim(), ''].join('\n'),
    bindings: present.map(([, { access }]) => access),
  };
}

/** A float as WGSL literal. */
export function float(value: number): string {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}
