import { SpeedqError } from '@speedq/format';
import {
  chars,
  choice,
  complement,
  empty,
  literal,
  MAX_CODE_POINT,
  normalizeRanges,
  oneOf,
  optional,
  repeat,
  rule,
  sequence,
} from './grammar.ts';
import type { CharRange, Expression, Grammar } from './grammar.ts';
import { anyNumber, integerRange } from './integer-range.ts';
import { searchExpression } from './regexp.ts';

type Schema = boolean | Readonly<Record<string, unknown>>;
type SchemaObject = Exclude<Schema, boolean>;

/** Say nothing about which values are valid. */
const ANNOTATIONS = new Set([
  '$schema',
  '$id',
  '$comment',
  '$defs',
  'definitions',
  'title',
  'description',
  'default',
  'examples',
  'readOnly',
  'writeOnly',
  'deprecated',
]);
/** The keywords that speak of values of one type. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  object: ['properties', 'required', 'additionalProperties'],
  array: ['items', 'prefixItems', 'minItems', 'maxItems'],
  string: ['minLength', 'maxLength', 'pattern', 'format'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  boolean: [],
  null: [],
};
const FORMATS: Readonly<Record<string, RegExp>> = {
  date: /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/,
  time: /^([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/,
  'date-time':
    /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/,
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
};

/**
 * JSON texts that a schema (draft 2020-12, and what of it older drafts have) finds valid. Not all of them: on one
 * line with at most a space after commas and colons, properties in the order of the schema, without those
 * that it does not name unless it names none, numbers of at most 15 digits. `oneOf` is taken as `anyOf`.
 *
 * @throws {SpeedqError} `unsupported` for keywords that could not be kept to, `invalid-argument` for what is no
 * schema.
 */
export function jsonSchemaGrammar(schema: unknown): Grammar {
  const compiler = new Compiler(schema);
  return { root: compiler.compile(checkSchema(schema, '#'), '#'), rules: compiler.rules };
}

const SPACE = optional(literal(' '));
const COMMA = sequence(literal(','), SPACE);
const COLON = sequence(literal(':'), SPACE);
const HEX: CharRange[] = [
  [0x30, 0x39],
  [0x41, 0x46],
  [0x61, 0x66],
];
/** What must be escaped in a string; surrogates are no characters. */
const ESCAPED: CharRange[] = [
  [0, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
];
const STRING_CHAR = choice(
  chars(...complement(ESCAPED)),
  sequence(literal('\\'), oneOf('"\\/bfnrt')),
  // no surrogates: a pair would be two
  sequence(
    literal('\\u'),
    choice(
      sequence(
        chars([0x30, 0x39], [0x41, 0x43], [0x45, 0x46], [0x61, 0x63], [0x65, 0x66]),
        repeat(chars(...HEX), 3, 3),
      ),
      sequence(oneOf('dD'), chars([0x30, 0x37]), repeat(chars(...HEX), 2, 2)),
    ),
  ),
);
const quoted = (content: Expression): Expression => sequence(literal('"'), content, literal('"'));
const ANY_STRING = quoted(repeat(STRING_CHAR, 0));
const ANY_VALUE = 'any value';

class Compiler {
  readonly rules = new Map<string, Expression>();
  private readonly root: unknown;

  constructor(root: unknown) {
    this.root = root;
  }

  compile(schema: Schema, path: string): Expression {
    if (schema === true) return this.anyValue();
    if (schema === false) throw unsupported(path, 'false, which no value meets');
    if ('$ref' in schema) return this.reference(schema, path);
    if ('enum' in schema || 'const' in schema) return this.constants(schema, path);
    for (const keyword of ['anyOf', 'oneOf', 'allOf'] as const) {
      if (keyword in schema) return this.combination(keyword, schema, path);
    }
    const types = typesOf(schema, path);
    if (types === undefined) {
      checkKeywords(schema, [], path);
      return this.anyValue();
    }
    const known = types.flatMap((type) => KEYWORDS[type]);
    checkKeywords(schema, ['type', ...known], path);
    return choice(...types.map((type) => this.typed(type, schema, path)));
  }

  private typed(type: string, schema: SchemaObject, path: string): Expression {
    switch (type) {
      case 'object':
        return this.object(schema, path);
      case 'array':
        return this.array(schema, path);
      case 'string':
        return this.string(schema, path);
      case 'boolean':
        return choice(literal('true'), literal('false'));
      case 'null':
        return literal('null');
      default:
        return number(type === 'integer', schema, path);
    }
  }

  private reference(schema: SchemaObject, path: string): Expression {
    checkKeywords(schema, ['$ref'], path);
    const { $ref } = schema;
    if (typeof $ref !== 'string' || !/^#(\/|$)/.test($ref)) {
      throw unsupported(path, `$ref ${JSON.stringify($ref)}: only references into the schema itself`);
    }
    if (!this.rules.has($ref)) {
      let target: unknown = this.root;
      for (const step of $ref.split('/').slice(1)) {
        const key = decodeURIComponent(step).replaceAll('~1', '/').replaceAll('~0', '~');
        target = isRecord(target) && Object.hasOwn(target, key) ? target[key] : undefined;
      }
      // Known before it is compiled: it may refer to itself.
      this.rules.set($ref, empty);
      this.rules.set($ref, this.compile(checkSchema(target, $ref), $ref));
    }
    return rule($ref);
  }

  private constants(schema: SchemaObject, path: string): Expression {
    const keyword = 'enum' in schema ? 'enum' : 'const';
    checkKeywords(schema, [keyword, 'type'], path);
    const values = keyword === 'const' ? [schema.const] : schema.enum;
    if (!Array.isArray(values) || values.length === 0)
      throw invalid(`${path}/enum`, 'a list of values', values);
    const types = 'type' in schema ? typesOf(schema, path) : undefined;
    const allowed = values.filter(
      (value) => types === undefined || types.some((type) => isOfType(value, type)),
    );
    if (allowed.length === 0) throw unsupported(path, 'an enum none of whose values has the type');
    return choice(...allowed.map((value) => literal(JSON.stringify(value))));
  }

  private combination(keyword: 'anyOf' | 'oneOf' | 'allOf', schema: SchemaObject, path: string): Expression {
    const { [keyword]: parts, ...rest } = schema;
    if (!Array.isArray(parts) || parts.length === 0)
      throw invalid(`${path}/${keyword}`, 'a list of schemas', parts);
    const checked = parts.map((part, i) => checkSchema(part, `${path}/${keyword}/${i}`));
    if (keyword === 'allOf') {
      return this.compile(
        checked.reduce<Schema>((all, part) => merge(all, part, path), rest),
        path,
      );
    }
    return choice(
      ...checked.map((part, i) => this.compile(merge(rest, part, path), `${path}/${keyword}/${i}`)),
    );
  }

  private object(schema: SchemaObject, path: string): Expression {
    const { properties = {}, required = [], additionalProperties } = schema;
    if (!isRecord(properties)) throw invalid(`${path}/properties`, 'an object', properties);
    if (!Array.isArray(required)) throw invalid(`${path}/required`, 'a list of names', required);
    const names = [...new Set([...Object.keys(properties), ...(required as string[])])];
    if (names.length === 0) {
      if (additionalProperties === false) return literal('{}');
      const value =
        additionalProperties === undefined
          ? this.anyValue()
          : this.compile(
              checkSchema(additionalProperties, `${path}/additionalProperties`),
              `${path}/additionalProperties`,
            );
      return enclosed('{', list(sequence(ANY_STRING, COLON, value), 0, Infinity), '}');
    }
    const schemaOf = (name: string): unknown =>
      Object.hasOwn(properties, name) ? properties[name] : (additionalProperties ?? true);
    const members = names.map((name) => {
      const at = `${path}/properties/${name}`;
      return sequence(
        literal(JSON.stringify(name)),
        COLON,
        this.compile(checkSchema(schemaOf(name), at), at),
      );
    });
    // rest(i, comma): the members from i on, with a comma before the first of them if one has come already.
    const rest = (i: number, comma: boolean): Expression => {
      if (i === names.length) return empty;
      const key = `${path} members ${i} ${comma}`;
      if (!this.rules.has(key)) {
        this.rules.set(key, empty);
        const present = sequence(comma ? COMMA : empty, members[i], rest(i + 1, true));
        this.rules.set(key, required.includes(names[i]) ? present : choice(present, rest(i + 1, comma)));
      }
      return rule(key);
    };
    return enclosed('{', rest(0, false), '}');
  }

  private array(schema: SchemaObject, path: string): Expression {
    const { items = true, prefixItems = [], minItems = 0, maxItems = Infinity } = schema;
    if (!Array.isArray(prefixItems)) throw invalid(`${path}/prefixItems`, 'a list of schemas', prefixItems);
    const min = count(minItems, `${path}/minItems`);
    const max = count(maxItems, `${path}/maxItems`);
    if (min > max) throw unsupported(path, 'minItems above maxItems');
    const first = prefixItems.slice(0, max).map((item, i) => {
      const at = `${path}/prefixItems/${i}`;
      return this.compile(checkSchema(item, at), at);
    });
    const more =
      items === false ? undefined : this.compile(checkSchema(items, `${path}/items`), `${path}/items`);
    if (more === undefined && min > first.length)
      throw unsupported(path, 'minItems above what prefixItems give');
    if (first.length === 0) return enclosed('[', more ? list(more, min, max) : empty, ']');
    // Fewer than prefixItems are valid too; a tuple is meant.
    const tail = more
      ? repeat(sequence(COMMA, more), Math.max(0, min - first.length), max - first.length)
      : empty;
    const tuple = first.flatMap((item, i) => (i === 0 ? [item] : [COMMA, item]));
    return enclosed('[', sequence(...tuple, tail), ']');
  }

  private string(schema: SchemaObject, path: string): Expression {
    const { minLength = 0, maxLength = Infinity, pattern, format } = schema;
    const [min, max] = [count(minLength, `${path}/minLength`), count(maxLength, `${path}/maxLength`)];
    const isBounded = min > 0 || max < Infinity;
    const known = typeof format === 'string' ? FORMATS[format] : undefined;
    if ([pattern !== undefined, isBounded, known !== undefined].filter(Boolean).length > 1) {
      throw unsupported(path, 'more than one of pattern, format, and a limit of length');
    }
    if (pattern !== undefined) {
      if (typeof pattern !== 'string') throw invalid(`${path}/pattern`, 'a regular expression', pattern);
      return quoted(escapeInString(searchExpression(parsePattern(pattern, path))));
    }
    if (known !== undefined) return quoted(searchExpression(known));
    return isBounded ? quoted(repeat(STRING_CHAR, min, max)) : ANY_STRING;
  }

  private anyValue(): Expression {
    if (!this.rules.has(ANY_VALUE)) {
      const value = rule(ANY_VALUE);
      this.rules.set(
        ANY_VALUE,
        choice(
          literal('null'),
          literal('true'),
          literal('false'),
          anyNumber(true),
          ANY_STRING,
          enclosed('[', list(value, 0, Infinity), ']'),
          enclosed('{', list(sequence(ANY_STRING, COLON, value), 0, Infinity), '}'),
        ),
      );
    }
    return rule(ANY_VALUE);
  }
}

function enclosed(open: string, content: Expression, close: string): Expression {
  return sequence(literal(open), content, literal(close));
}

function list(item: Expression, min: number, max: number): Expression {
  if (max === 0) return empty;
  const some = sequence(item, repeat(sequence(COMMA, item), Math.max(0, min - 1), max - 1));
  return min === 0 ? optional(some) : some;
}

function number(isInteger: boolean, schema: SchemaObject, path: string): Expression {
  const bound = (keyword: string): number | undefined => {
    const value = schema[keyword];
    if (value === undefined || typeof value === 'number') return value;
    throw invalid(`${path}/${keyword}`, 'a number', value);
  };
  const [minimum, maximum] = [bound('minimum'), bound('maximum')];
  const [above, below] = [bound('exclusiveMinimum'), bound('exclusiveMaximum')];
  if (isInteger) {
    const low = Math.max(
      minimum === undefined ? -Infinity : Math.ceil(minimum),
      above === undefined ? -Infinity : Math.floor(above) + 1,
    );
    const high = Math.min(
      maximum === undefined ? Infinity : Math.floor(maximum),
      below === undefined ? Infinity : Math.ceil(below) - 1,
    );
    if (low > high) throw unsupported(path, 'bounds without an integer between them');
    if ([low, high].some((end) => Number.isFinite(end) && !Number.isSafeInteger(end))) {
      throw unsupported(path, 'bounds beyond 2^53');
    }
    return integerRange(low, high);
  }
  const isUnbounded = maximum === undefined && above === undefined && below === undefined;
  if (!isUnbounded || (minimum !== undefined && minimum !== 0)) {
    throw unsupported(path, "bounds of a number that is no integer, other than 'minimum: 0'");
  }
  return anyNumber(minimum === undefined);
}

/** The same texts as they stand between the quotes of JSON. */
function escapeInString(expression: Expression): Expression {
  switch (expression.kind) {
    case 'chars':
      return escapedChars(expression.ranges);
    case 'sequence':
    case 'choice':
      return { ...expression, items: expression.items.map(escapeInString) };
    case 'repeat':
      return { ...expression, item: escapeInString(expression.item) };
    case 'rule':
      return expression;
  }
}

function escapedChars(ranges: readonly CharRange[]): Expression {
  const isIn = (point: number): boolean => ranges.some(([low, high]) => low <= point && point <= high);
  const escapes = ESCAPED.flatMap(([low, high]) => {
    const points = Array.from({ length: high - low + 1 }, (_, i) => low + i).filter(isIn);
    return points.map((point) => literal(JSON.stringify(String.fromCodePoint(point)).slice(1, -1)));
  });
  const plain = complement([...complement(ranges), ...ESCAPED]);
  return choice(chars(...normalizeRanges(plain.filter(([low]) => low <= MAX_CODE_POINT))), ...escapes);
}

function parsePattern(pattern: string, path: string): RegExp {
  try {
    return new RegExp(pattern, 'u');
  } catch (cause) {
    throw invalid(`${path}/pattern`, 'a regular expression', pattern, cause);
  }
}

/** The types that a schema names or its keywords speak of; undefined for any. */
function typesOf(schema: SchemaObject, path: string): string[] | undefined {
  if (schema.type !== undefined) {
    const types = (Array.isArray(schema.type) ? schema.type : [schema.type]) as unknown[];
    const bad = types.find((type) => typeof type !== 'string' || !Object.hasOwn(KEYWORDS, type));
    if (bad !== undefined || types.length === 0) throw invalid(`${path}/type`, 'a type of JSON', bad);
    return types as string[];
  }
  const meant = Object.keys(KEYWORDS).find(
    (type) => type !== 'integer' && KEYWORDS[type].some((keyword) => keyword in schema),
  );
  return meant === undefined ? undefined : [meant];
}

function merge(a: Schema, b: Schema, path: string): Schema {
  if (a === true) return b;
  if (b === true) return a;
  if (a === false || b === false) return false;
  const merged: Record<string, unknown> = { ...a };
  for (const [keyword, value] of Object.entries(b)) {
    const other = merged[keyword];
    if (other === undefined || ANNOTATIONS.has(keyword)) merged[keyword] = value;
    else if (keyword === 'required') merged.required = [...(other as string[]), ...(value as string[])];
    else if (keyword === 'properties') merged.properties = mergeProperties(other, value, path);
    else if (JSON.stringify(other) !== JSON.stringify(value))
      throw unsupported(path, `two schemas with '${keyword}' at once`);
  }
  return merged;
}

function mergeProperties(a: unknown, b: unknown, path: string): Record<string, unknown> {
  if (!isRecord(a) || !isRecord(b)) throw invalid(`${path}/properties`, 'an object', a);
  const merged = { ...a };
  for (const [name, value] of Object.entries(b)) {
    merged[name] = Object.hasOwn(a, name)
      ? merge(checkSchema(a[name], path), checkSchema(value, path), `${path}/properties/${name}`)
      : value;
  }
  return merged;
}

function checkKeywords(schema: SchemaObject, known: readonly string[], path: string): void {
  const unknown = Object.keys(schema).find(
    (keyword) => !known.includes(keyword) && !ANNOTATIONS.has(keyword),
  );
  if (unknown !== undefined) throw unsupported(path, `the keyword '${unknown}' here`);
}

function checkSchema(schema: unknown, path: string): Schema {
  if (typeof schema === 'boolean' || isRecord(schema)) return schema;
  throw invalid(path, 'a JSON schema', schema);
}

function count(value: unknown, path: string): number {
  if (value === Infinity || (Number.isInteger(value) && (value as number) >= 0)) return value as number;
  throw invalid(path, 'a whole number of at least 0', value);
}

function isOfType(value: unknown, type: string): boolean {
  if (value === null) return type === 'null';
  if (Array.isArray(value)) return type === 'array';
  if (type === 'integer') return Number.isInteger(value);
  return typeof value === type;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function unsupported(path: string, what: string): SpeedqError {
  return new SpeedqError(
    'unsupported',
    `The JSON schema at ${path} has ${what}, which answers cannot be held to. Leave it out.`,
  );
}

function invalid(path: string, expected: string, got: unknown, cause?: unknown): SpeedqError {
  return new SpeedqError(
    'invalid-argument',
    `Expected ${expected} at ${path} of the JSON schema; got ${JSON.stringify(got)}.`,
    { cause },
  );
}
