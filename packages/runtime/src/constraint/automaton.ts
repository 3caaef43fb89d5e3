import { SpeedqError } from '@speedq/format';
import type { CharRange, Expression, Grammar } from './grammar.ts';
import { utf8Ranges } from './utf8.ts';
import type { ByteRanges } from './utf8.ts';

interface Node {
  readonly free: number[];
  readonly bytes: { readonly low: number; readonly high: number; readonly to: number }[];
  readonly calls: { readonly rule: string; readonly back: number }[];
  isEnd: boolean;
}

/** Where a text has got to: all that the grammar may be in the middle of. */
export interface AutomatonState {
  /** A text that ends here is one of the grammar's. */
  readonly accepts: boolean;
  /** Nodes that read a byte next, each with a stack of where its rules return to. */
  readonly places: readonly number[];
  /** By byte; undefined where not yet known, null where no text goes on. */
  readonly next: (AutomatonState | null | undefined)[];
}

/** Beyond these a grammar is refused rather than letting the page run out of memory. */
const MAX_NODES = 2 ** 18;
/** Also ends rules that call themselves before they read anything. */
const MAX_DEPTH = 1000;
/** States remembered; beyond, they are made anew. */
const MAX_STATES = 2 ** 14;

/**
 * The bytes of the grammar's texts in UTF-8, as an automaton with a stack, made deterministic as far as it is
 * used: a state is a set of places, and a place a node and a stack.
 */
export class Automaton {
  readonly start: AutomatonState;
  private readonly nodes: Node[] = [];
  private readonly rules = new Map<string, number>();
  /** Stacks as linked lists, equal ones the same: [node to return to, rest, depth]. */
  private readonly stacks: { readonly back: number; readonly rest: number; readonly depth: number }[] = [
    { back: -1, rest: -1, depth: 0 },
  ];
  private readonly stackIds = new Map<string, number>();
  private readonly states = new Map<string, AutomatonState>();

  /** @throws {SpeedqError} `unsupported` for a grammar that is too large. */
  constructor({ root, rules }: Grammar) {
    const starts = [...rules.keys()].map((name) => [name, this.node()] as const);
    for (const [name, start] of starts) this.rules.set(name, start);
    for (const [name, start] of starts) this.nodes[this.build(rules.get(name)!, start)].isEnd = true;
    const start = this.node();
    this.nodes[this.build(root, start)].isEnd = true;
    this.start = this.stateOf([place(start, 0)]);
  }

  step(state: AutomatonState, byte: number): AutomatonState | null {
    const known = state.next[byte];
    if (known !== undefined) return known;
    const reached: number[] = [];
    for (const at of state.places) {
      for (const { low, high, to } of this.nodes[nodeOf(at)].bytes) {
        if (low <= byte && byte <= high) reached.push(place(to, stackOf(at)));
      }
    }
    const next = reached.length > 0 ? this.stateOf(reached) : null;
    state.next[byte] = next;
    return next;
  }

  private stateOf(reached: readonly number[]): AutomatonState {
    const seen = new Set(reached);
    const waiting = [...reached];
    const places: number[] = [];
    let accepts = false;
    const visit = (node: number, stack: number): void => {
      const at = place(node, stack);
      if (seen.has(at)) return;
      seen.add(at);
      waiting.push(at);
    };
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      const stack = stackOf(at);
      const { free, bytes, calls, isEnd } = this.nodes[nodeOf(at)];
      if (bytes.length > 0) places.push(at);
      for (const to of free) visit(to, stack);
      for (const { rule, back } of calls) {
        const start = this.rules.get(rule);
        if (start === undefined) throw new Error(`No rule ${rule}`);
        const inner = this.push(back, stack);
        if (inner !== undefined) visit(start, inner);
      }
      if (!isEnd) continue;
      if (stack === 0) accepts = true;
      else visit(this.stacks[stack].back, this.stacks[stack].rest);
    }
    places.sort((a, b) => a - b);
    const key = `${accepts ? 1 : 0} ${places.join(' ')}`;
    let state = this.states.get(key);
    if (state === undefined) {
      if (this.states.size >= MAX_STATES) this.states.clear();
      state = { accepts, places, next: [] };
      this.states.set(key, state);
    }
    return state;
  }

  /** Undefined beyond the deepest nesting. */
  private push(back: number, rest: number): number | undefined {
    // Whoever returns to where a rule ends may return further at once: lists do not deepen the stack.
    if (this.endsAt(back)) return rest;
    const key = `${back} ${rest}`;
    let id = this.stackIds.get(key);
    if (id === undefined) {
      const depth = this.stacks[rest].depth + 1;
      if (depth > MAX_DEPTH) return undefined;
      id = this.stacks.push({ back, rest, depth }) - 1;
      this.stackIds.set(key, id);
    }
    return id;
  }

  private endsAt(node: number): boolean {
    let { free, bytes, calls, isEnd } = this.nodes[node];
    while (!isEnd && free.length === 1 && bytes.length === 0 && calls.length === 0) {
      ({ free, bytes, calls, isEnd } = this.nodes[free[0]]);
    }
    return isEnd && free.length === 0 && bytes.length === 0 && calls.length === 0;
  }

  private node(): number {
    if (this.nodes.length >= MAX_NODES) {
      throw new SpeedqError(
        'unsupported',
        'The constraint is too large: expected fewer or smaller repetitions. Loosen its limits.',
      );
    }
    return this.nodes.push({ free: [], bytes: [], calls: [], isEnd: false }) - 1;
  }

  /** Adds what the expression reads, from a node on; returns the node after it. */
  private build(expression: Expression, from: number): number {
    switch (expression.kind) {
      case 'chars': {
        const to = this.node();
        for (const range of expression.ranges) {
          for (const bytes of bytesOf(range)) {
            let at = from;
            for (const [i, [low, high]] of bytes.entries()) {
              const next = i === bytes.length - 1 ? to : this.node();
              this.nodes[at].bytes.push({ low, high, to: next });
              at = next;
            }
          }
        }
        return to;
      }
      case 'sequence':
        return expression.items.reduce((at, item) => this.build(item, at), from);
      case 'choice': {
        const to = this.node();
        for (const item of expression.items) this.nodes[this.build(item, this.after(from))].free.push(to);
        return to;
      }
      case 'repeat':
        return this.buildRepeat(expression, from);
      case 'rule': {
        const to = this.node();
        this.nodes[from].calls.push({ rule: expression.name, back: to });
        return to;
      }
    }
  }

  private buildRepeat({ item, min, max }: Extract<Expression, { kind: 'repeat' }>, from: number): number {
    let at = from;
    for (let i = 0; i < min; i++) at = this.build(item, at);
    if (max === Infinity) {
      const loop = this.after(at);
      this.nodes[this.build(item, loop)].free.push(loop);
      return this.after(loop);
    }
    const to = this.node();
    for (let i = min; i < max; i++) {
      this.nodes[at].free.push(to);
      at = this.build(item, this.after(at));
    }
    this.nodes[at].free.push(to);
    return to;
  }

  /** A node of its own, reached without reading. */
  private after(from: number): number {
    const to = this.node();
    this.nodes[from].free.push(to);
    return to;
  }
}

/** The same few ranges come again and again, once for each copy of a repeated character. */
const known = new WeakMap<CharRange, ByteRanges[]>();

function bytesOf(range: CharRange): ByteRanges[] {
  let bytes = known.get(range);
  if (bytes === undefined) {
    bytes = utf8Ranges(range);
    known.set(range, bytes);
  }
  return bytes;
}

function place(node: number, stack: number): number {
  return stack * MAX_NODES + node;
}

function nodeOf(at: number): number {
  return at % MAX_NODES;
}

function stackOf(at: number): number {
  return Math.floor(at / MAX_NODES);
}
