import { SpeedqError } from '@speedq/format';
import { Automaton } from './automaton.ts';
import type { AutomatonState } from './automaton.ts';
import type { Grammar } from './grammar.ts';
import type { TokenConstraint } from './token-constraint.ts';

/** What of a tokenizer a constraint needs. */
export interface TokenBytes {
  readonly vocabSize: number;
  bytesOf(id: number): Uint8Array;
  isSpecial(id: number): boolean;
}

/**
 * The tokens of a vocabulary in the order of their bytes, so that what they share is walked once. Making it takes
 * a moment for 150,000 tokens: keep it.
 */
export class ConstraintVocabulary {
  private readonly tokenizer: TokenBytes;
  private readonly ids: Uint32Array;
  /** Bytes of all tokens one after another, and where each begins and the last ends. */
  private readonly bytes: Uint8Array;
  private readonly offsets: Uint32Array;
  /** Leading bytes that each token has in common with the one before it. */
  private readonly shared: Uint16Array;

  constructor(tokenizer: TokenBytes) {
    this.tokenizer = tokenizer;
    const tokens: { readonly id: number; readonly bytes: Uint8Array; readonly key: string }[] = [];
    for (let id = 0; id < tokenizer.vocabSize; id++) {
      if (tokenizer.isSpecial(id)) continue;
      const bytes = tokenizer.bytesOf(id);
      if (bytes.length > 0) tokens.push({ id, bytes, key: String.fromCharCode(...bytes) });
    }
    tokens.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
    this.ids = Uint32Array.from(tokens, ({ id }) => id);
    this.offsets = new Uint32Array(tokens.length + 1);
    this.shared = new Uint16Array(tokens.length);
    tokens.forEach(({ key }, i) => {
      this.offsets[i + 1] = this.offsets[i] + key.length;
      const before = i > 0 ? tokens[i - 1].key : '';
      let common = 0;
      while (common < before.length && common < key.length && before[common] === key[common]) common++;
      this.shared[i] = common;
    });
    this.bytes = new Uint8Array(this.offsets[tokens.length]);
    tokens.forEach(({ bytes }, i) => this.bytes.set(bytes, this.offsets[i]));
  }

  /** Lets one answer through whose text is one of the grammar's. */
  constrain(automaton: Automaton): TokenConstraint {
    const { tokenizer } = this;
    const maskOf = (state: AutomatonState): Uint32Array => this.mask(automaton, state);
    let state = automaton.start;
    return {
      get canEnd() {
        return state.accepts;
      },
      allowed: () => maskOf(state),
      accept(id) {
        for (const byte of tokenizer.bytesOf(id)) {
          const next = automaton.step(state, byte);
          if (next === null) {
            throw new SpeedqError('internal', `Token ${id} came, which the constraint does not allow.`);
          }
          state = next;
        }
      },
    };
  }

  private readonly masks = new WeakMap<AutomatonState, Uint32Array>();

  private mask(automaton: Automaton, start: AutomatonState): Uint32Array {
    const known = this.masks.get(start);
    if (known) return known;
    const mask = new Uint32Array(Math.ceil(this.tokenizer.vocabSize / 32));
    const path: AutomatonState[] = [start];
    /** Bytes of the token before, up to and with the one that no text goes on with. */
    let dead = Infinity;
    for (let i = 0; i < this.ids.length; i++) {
      // Shares that byte too.
      if (this.shared[i] >= dead) continue;
      const offset = this.offsets[i];
      const length = this.offsets[i + 1] - offset;
      dead = Infinity;
      for (let at = this.shared[i]; at < length; at++) {
        const next = automaton.step(path[at], this.bytes[offset + at]);
        if (next === null) {
          dead = at + 1;
          break;
        }
        path[at + 1] = next;
      }
      if (dead === Infinity) mask[this.ids[i] >> 5] |= 1 << (this.ids[i] & 31);
    }
    this.masks.set(start, mask);
    return mask;
  }
}

/** Whether a text is one of the grammar's: for tests, and for what is checked before it is generated. */
export function matches(grammar: Grammar, text: string): boolean {
  const automaton = new Automaton(grammar);
  let state: AutomatonState | null = automaton.start;
  for (const byte of new TextEncoder().encode(text)) {
    state = automaton.step(state, byte);
    if (state === null) return false;
  }
  return state.accepts;
}
