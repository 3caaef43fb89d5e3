/**
 * Python's pickle, as far as torch.save of tensors needs it: numbers, strings, tuples, lists, dictionaries, and calls
 * that `construct` knows. Nothing is ever executed, and what is not listed here is refused.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | string
  | PickleGlobal
  | PickleObject
  | readonly PickleValue[]
  | Map<PickleValue, PickleValue>;

/** A function or class by its module and name. */
export class PickleGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

/** Whatever `construct` and `load` make. */
export type PickleObject = object;

export interface PickleReader {
  /** The result of calling a global. */
  construct(name: string, args: readonly PickleValue[]): PickleValue;
  /** What a persistent id stands for. */
  load(id: PickleValue): PickleValue;
  fail(message: string): never;
}

const MARK = Symbol('mark');

/** The one value of a pickle of protocol 2 to 4. */
export function unpickle(bytes: Uint8Array, reader: PickleReader): PickleValue {
  return new Unpickler(bytes, reader).run();
}

class Unpickler {
  private readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly reader: PickleReader;
  private readonly stack: (PickleValue | typeof MARK)[] = [];
  private readonly memo = new Map<number, PickleValue>();
  private at = 0;

  constructor(bytes: Uint8Array, reader: PickleReader) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.reader = reader;
  }

  run(): PickleValue {
    for (;;) {
      const op = this.take(1)[0];
      if (op === 0x2e) return this.pop(); // STOP
      this.step(op);
    }
  }

  private step(op: number): void {
    switch (op) {
      case 0x80: // PROTO
        this.take(1);
        return;
      case 0x95: // FRAME
        this.take(8);
        return;
      case 0x28: // MARK
        this.stack.push(MARK);
        return;
      case 0x7d: // EMPTY_DICT
        this.stack.push(new Map());
        return;
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        this.stack.push([]);
        return;
      case 0x4e: // NONE
        this.stack.push(null);
        return;
      case 0x88: // NEWTRUE
      case 0x89: // NEWFALSE
        this.stack.push(op === 0x88);
        return;
      case 0x4b: // BININT1
        this.stack.push(this.unsigned(1));
        return;
      case 0x4d: // BININT2
        this.stack.push(this.unsigned(2));
        return;
      case 0x4a: // BININT
        this.stack.push(this.unsigned(4) | 0);
        return;
      case 0x8a: // LONG1
        this.stack.push(this.long(this.unsigned(1)));
        return;
      case 0x47: // BINFLOAT
        this.stack.push(this.view.getFloat64(this.skip(8)));
        return;
      case 0x58: // BINUNICODE
        this.stack.push(this.text(this.unsigned(4)));
        return;
      case 0x8c: // SHORT_BINUNICODE
        this.stack.push(this.text(this.unsigned(1)));
        return;
      case 0x71: // BINPUT
        this.memo.set(this.unsigned(1), this.top());
        return;
      case 0x72: // LONG_BINPUT
        this.memo.set(this.unsigned(4), this.top());
        return;
      case 0x94: // MEMOIZE
        this.memo.set(this.memo.size, this.top());
        return;
      case 0x68: // BINGET
        this.recall(this.unsigned(1));
        return;
      case 0x6a: // LONG_BINGET
        this.recall(this.unsigned(4));
        return;
      case 0x63: // GLOBAL
        this.stack.push(new PickleGlobal(`${this.line()}.${this.line()}`));
        return;
      case 0x74: // TUPLE
        this.stack.push(this.popToMark());
        return;
      case 0x85: // TUPLE1…3
      case 0x86:
      case 0x87:
        this.stack.push(Array.from({ length: op - 0x84 }, () => this.pop()).reverse());
        return;
      case 0x51: // BINPERSID
        this.stack.push(this.reader.load(this.pop()));
        return;
      case 0x52: // REDUCE
        this.reduce();
        return;
      case 0x61: // APPEND
        this.append([this.pop()]);
        return;
      case 0x65: // APPENDS
        this.append(this.popToMark());
        return;
      case 0x73: // SETITEM
        this.setItems([this.pop(), this.pop()].reverse());
        return;
      case 0x75: // SETITEMS
        this.setItems(this.popToMark());
        return;
      default:
        this.reader.fail(`its pickle does what a file of tensors need not (opcode ${op} at ${this.at - 1})`);
    }
  }

  private reduce(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof PickleGlobal) || !Array.isArray(args)) this.reader.fail('its pickle is damaged');
    else this.stack.push(this.reader.construct(callee.name, args as readonly PickleValue[]));
  }

  private append(values: readonly PickleValue[]): void {
    const list = this.top();
    if (!Array.isArray(list)) this.reader.fail('its pickle is damaged');
    else list.push(...values);
  }

  private setItems(values: readonly PickleValue[]): void {
    const map = this.top();
    if (!(map instanceof Map) || values.length % 2 !== 0) return this.reader.fail('its pickle is damaged');
    for (let i = 0; i < values.length; i += 2) map.set(values[i], values[i + 1]);
  }

  private recall(key: number): void {
    const value = this.memo.get(key);
    if (value === undefined) this.reader.fail('its pickle is damaged');
    else this.stack.push(value);
  }

  private pop(): PickleValue {
    const value = this.stack.pop();
    if (value === undefined || value === MARK) return this.reader.fail('its pickle is damaged');
    return value;
  }

  private top(): PickleValue {
    const value = this.pop();
    this.stack.push(value);
    return value;
  }

  private popToMark(): PickleValue[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) this.reader.fail('its pickle is damaged');
    const values = this.stack.splice(mark).slice(1);
    return values as PickleValue[];
  }

  private skip(length: number): number {
    if (this.at + length > this.bytes.length) this.reader.fail('its pickle ends too early');
    this.at += length;
    return this.at - length;
  }

  private take(length: number): Uint8Array {
    const start = this.skip(length);
    return this.bytes.subarray(start, start + length);
  }

  private unsigned(length: number): number {
    return this.take(length).reduceRight((value, byte) => value * 256 + byte, 0);
  }

  private long(length: number): number {
    if (length > 6) this.reader.fail(`it holds a number of ${length} bytes`);
    const value = this.unsigned(length);
    const limit = 2 ** (8 * length);
    return value >= limit / 2 ? value - limit : value;
  }

  private text(length: number): string {
    return new TextDecoder().decode(this.take(length));
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.at);
    if (end < 0) this.reader.fail('its pickle ends too early');
    const text = this.text(end - this.at);
    this.at++;
    return text;
  }
}
