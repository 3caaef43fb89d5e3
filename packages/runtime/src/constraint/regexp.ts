import { SpeedqError } from '@speedq/format';
import { chars, choice, complement, empty, MAX_CODE_POINT, repeat, sequence } from './grammar.ts';
import type { CharRange, Expression } from './grammar.ts';

/** One of the alternatives of a pattern, and whether it is held to the start and the end of the text. */
interface Alternative {
  readonly expression: Expression;
  readonly fromStart: boolean;
  readonly toEnd: boolean;
}

const DIGITS: CharRange[] = [[0x30, 0x39]];
const WORD: CharRange[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
// ECMAScript's WhiteSpace and LineTerminator.
const SPACE: CharRange[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const LINE_ENDS: CharRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, v: 11, f: 12, '0': 0 };

/**
 * The whole of a text that a regular expression matches, whether or not it is anchored.
 * @throws {SpeedqError} `unsupported` for what a grammar cannot say or this parser does not know.
 */
export function regexpExpression(pattern: RegExp): Expression {
  return choice(...parseRegExp(pattern).map(({ expression }) => expression));
}

/** @throws {SpeedqError} `unsupported`. */
function parseRegExp({ source, flags }: RegExp): Alternative[] {
  return new Parser(source, flags).parse();
}

/** Sources are valid: whoever calls has a RegExp object. */
class Parser {
  private readonly points: readonly string[];
  private readonly source: string;
  private readonly ignoresCase: boolean;
  private readonly dotAll: boolean;
  private at = 0;

  constructor(source: string, flags: string) {
    this.source = source;
    // By code points, as with the flag u: texts are never half a character.
    this.points = Array.from(source);
    this.ignoresCase = flags.includes('i');
    this.dotAll = flags.includes('s');
    if (flags.includes('m')) throw this.unsupported('the flag m');
  }

  parse(): Alternative[] {
    const alternatives: Alternative[] = [];
    do {
      const fromStart = this.take('^');
      const expression = this.terms();
      alternatives.push({ expression, fromStart, toEnd: this.take('$') });
      if (this.at < this.points.length && this.points[this.at] !== '|')
        throw this.unsupported('$ before the end');
    } while (this.take('|'));
    return alternatives;
  }

  private choices(): Expression {
    const items: Expression[] = [];
    do items.push(this.terms());
    while (this.take('|'));
    return items.length === 1 ? items[0] : choice(...items);
  }

  private terms(): Expression {
    const items: Expression[] = [];
    while (this.at < this.points.length && !'|)$'.includes(this.points[this.at])) {
      items.push(this.quantified(this.atom()));
    }
    return items.length === 1 ? items[0] : sequence(...items);
  }

  private quantified(item: Expression): Expression {
    let result = item;
    if (this.take('*')) result = repeat(item, 0);
    else if (this.take('+')) result = repeat(item, 1);
    else if (this.take('?')) result = repeat(item, 0, 1);
    else if (this.points[this.at] === '{') {
      const found = /^\{(\d+)(,?)(\d*)\}/.exec(this.points.slice(this.at).join(''));
      if (!found) return item;
      this.at += found[0].length;
      const min = Number(found[1]);
      result = repeat(item, min, found[3] !== '' ? Number(found[3]) : found[2] ? Infinity : min);
    } else return item;
    // Lazy or not is a question of which match is found, not of which texts match.
    this.take('?');
    return result;
  }

  private atom(): Expression {
    const char = this.points[this.at++];
    switch (char) {
      case '.':
        return chars(...(this.dotAll ? [[0, MAX_CODE_POINT] as const] : complement(LINE_ENDS)));
      case '(':
        return this.group();
      case '[':
        return this.set();
      case '\\':
        return this.escape();
      case '^':
        throw this.unsupported('^ after the start');
      default:
        return this.char(char.codePointAt(0)!);
    }
  }

  private group(): Expression {
    if (this.take('?')) {
      if (this.take('<')) {
        if ('=!'.includes(this.points[this.at])) throw this.unsupported('lookbehind');
        while (this.points[this.at++] !== '>');
      } else if (!this.take(':')) {
        throw this.unsupported('lookahead or a modifier');
      }
    }
    const inner = this.choices();
    if (!this.take(')')) throw this.unsupported('an anchor in a group');
    return inner;
  }

  private escape(): Expression {
    const char = this.points[this.at];
    if (/[1-9]/.test(char)) throw this.unsupported('a reference to a group');
    if (/[bBkpP]/.test(char)) throw this.unsupported(`\\${char}`);
    const set = this.classEscape();
    return set ? chars(...set) : this.char(this.charEscape());
  }

  /** \d, \w, \s and their opposites; undefined, having read nothing, for others. */
  private classEscape(): CharRange[] | undefined {
    const char = this.points[this.at];
    const set = { d: DIGITS, w: WORD, s: SPACE }[char.toLowerCase()];
    if (set === undefined) return undefined;
    this.at++;
    return char === char.toLowerCase() ? set : complement(set);
  }

  private charEscape(): number {
    const char = this.points[this.at++];
    if (char === 'c') return this.points[this.at++].codePointAt(0)! % 32;
    if (char === 'x' || char === 'u') {
      const rest = this.points.slice(this.at).join('');
      const found =
        char === 'x'
          ? /^([0-9a-f]{2})/i.exec(rest)
          : (/^\{([0-9a-f]+)\}/i.exec(rest) ?? /^([0-9a-f]{4})/i.exec(rest));
      if (found) {
        this.at += found[0].length;
        const point = Number.parseInt(found[1], 16);
        const low = /^\\u(d[c-f][0-9a-f]{2})/i.exec(rest.slice(found[0].length));
        if (point < 0xd800 || point > 0xdbff || !low) return point;
        this.at += low[0].length;
        return 0x10000 + (point - 0xd800) * 0x400 + (Number.parseInt(low[1], 16) - 0xdc00);
      }
    }
    return CONTROLS[char] ?? char.codePointAt(0)!;
  }

  private set(): Expression {
    const isNegated = this.take('^');
    const ranges: CharRange[] = [];
    while (this.points[this.at] !== ']') {
      const low = this.setMember();
      const isRange = this.points[this.at] === '-' && this.points[this.at + 1] !== ']';
      if (typeof low !== 'number' || !isRange) {
        ranges.push(...(typeof low === 'number' ? [[low, low] as const] : low));
        continue;
      }
      this.at++;
      const high = this.setMember();
      if (typeof high === 'number') ranges.push([low, high]);
      else ranges.push([low, low], [0x2d, 0x2d], ...high);
    }
    this.at++;
    const cased = this.ignoresCase ? ranges.flatMap(withBothCases) : ranges;
    return chars(...(isNegated ? complement(cased) : cased));
  }

  private setMember(): number | CharRange[] {
    const char = this.points[this.at++];
    if (char !== '\\') return char.codePointAt(0)!;
    if (this.take('b')) return 8;
    if (/[pP]/.test(this.points[this.at])) throw this.unsupported(`\\${this.points[this.at]}`);
    return this.classEscape() ?? this.charEscape();
  }

  private char(point: number): Expression {
    return chars(...(this.ignoresCase ? withBothCases([point, point]) : [[point, point] as const]));
  }

  private take(char: string): boolean {
    if (this.points[this.at] !== char) return false;
    this.at++;
    return true;
  }

  private unsupported(what: string): SpeedqError {
    return new SpeedqError(
      'unsupported',
      `A constraint by regular expression knows no ${what}; got /${this.source}/. Write it without.`,
    );
  }
}

/** Letters outside of ASCII only where the range names them one by one or in a short row. */
function withBothCases([low, high]: CharRange): CharRange[] {
  const ranges: CharRange[] = [[low, high]];
  for (let point = low; point <= Math.min(high, low + 0x400); point++) {
    const char = String.fromCodePoint(point);
    for (const other of [char.toLowerCase(), char.toUpperCase()]) {
      const [cased, ...more] = Array.from(other, (one) => one.codePointAt(0)!);
      if (more.length === 0 && cased !== point) ranges.push([cased, cased]);
    }
  }
  return ranges;
}

/** Anything at all, for where a pattern is not anchored. */
const ANY_TEXT = repeat(chars([0, MAX_CODE_POINT]), 0);

/** A pattern as it is searched for: it may stand anywhere in the text unless it is anchored. */
export function searchExpression(pattern: RegExp): Expression {
  return choice(
    ...parseRegExp(pattern).map(({ expression, fromStart, toEnd }) =>
      sequence(fromStart ? empty : ANY_TEXT, expression, toEnd ? empty : ANY_TEXT),
    ),
  );
}
