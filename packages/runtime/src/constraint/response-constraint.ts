import { SpeedqError } from '@speedq/format';
import { Automaton } from './automaton.ts';
import { jsonSchemaGrammar } from './json-schema.ts';
import { regexpExpression } from './regexp.ts';
import type { TokenConstraint } from './token-constraint.ts';
import { ConstraintVocabulary } from './vocabulary.ts';
import type { TokenBytes } from './vocabulary.ts';

/** As in the Prompt API: a regular expression that the whole answer matches, or a JSON schema. */
export type ResponseConstraint = RegExp | object;

/** Automata remember what they have found out about the vocabulary; conversations repeat constraints. */
const KEPT_AUTOMATA = 4;

/** Makes constraints over one vocabulary, which is sorted when the first one is made. */
export function createConstraints(
  tokenizer: TokenBytes,
): (constraint: ResponseConstraint) => TokenConstraint {
  let vocabulary: ConstraintVocabulary | undefined;
  const automata = new Map<string, Automaton>();
  return (constraint) => {
    const key = constraint instanceof RegExp ? String(constraint) : JSON.stringify(constraint);
    const automaton = automata.get(key) ?? compile(constraint);
    automata.delete(key);
    automata.set(key, automaton);
    for (const oldest of automata.keys()) {
      if (automata.size <= KEPT_AUTOMATA) break;
      automata.delete(oldest);
    }
    vocabulary ??= new ConstraintVocabulary(tokenizer);
    return vocabulary.constrain(automaton);
  };
}

function compile(constraint: ResponseConstraint): Automaton {
  if (constraint instanceof RegExp) {
    return new Automaton({ root: regexpExpression(constraint), rules: new Map() });
  }
  return new Automaton(jsonSchemaGrammar(constraint));
}

/** A copy that can be cloned. @throws {SpeedqError} `invalid-argument`. */
export function checkConstraint(constraint: unknown): ResponseConstraint {
  if (constraint instanceof RegExp) return constraint;
  if (typeof constraint === 'object' && constraint !== null && !Array.isArray(constraint)) {
    return JSON.parse(JSON.stringify(constraint)) as object;
  }
  throw new SpeedqError(
    'invalid-argument',
    `responseConstraint must be a RegExp or a JSON schema (an object); got ${typeof constraint}.`,
  );
}
