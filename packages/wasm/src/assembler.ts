/**
 * WebAssembly with SIMD, assembled in TypeScript: no toolchain, no binary in the repository, no second file to
 * fetch. Only what the kernels need. Opcodes: WebAssembly Core Specification 2.0, section 5.4.
 */

/** Encoded instructions; one that leaves a value is an operand of another. */
export type Code = readonly number[];

export const I32 = 0x7f;
export const F32 = 0x7d;
export const V128 = 0x7b;
export type ValueType = typeof I32 | typeof F32 | typeof V128;

const EMPTY_BLOCK = 0x40;

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value >>> 0;
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return [...bytes, rest];
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  while (rest < -64 || rest > 63) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>= 7;
  }
  return [...bytes, rest & 0x7f];
}

const unary =
  (...opcode: number[]) =>
  (a: Code): Code => [...a, ...opcode];
const binary =
  (...opcode: number[]) =>
  (a: Code, b: Code): Code => [...a, ...b, ...opcode];
const simd = (opcode: number): number[] => [0xfd, ...unsigned(opcode)];
/** All addresses are told to be aligned to a byte only: what is told is a hint, and rows may start anywhere. */
const load =
  (...opcode: number[]) =>
  (address: Code, offset = 0): Code => [...address, ...opcode, 0, ...unsigned(offset)];
const store =
  (...opcode: number[]) =>
  (address: Code, value: Code, offset = 0): Code => [...address, ...value, ...opcode, 0, ...unsigned(offset)];
const shift =
  (opcode: number) =>
  (a: Code, count: number): Code =>
    count === 0 ? a : [...a, ...i32.const(count), ...simd(opcode)];
const lane =
  (opcode: number) =>
  (a: Code, index: number): Code => [...a, ...simd(opcode), index];

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  add: binary(0x6a),
  sub: binary(0x6b),
  mul: binary(0x6c),
  shl: binary(0x74),
  shrU: binary(0x76),
  and: binary(0x71),
  store: store(0x36),
};

export const f32 = {
  const: (value: number): Code => [0x43, ...new Uint8Array(Float32Array.of(value).buffer)],
  div: binary(0x95),
  mul: binary(0x94),
  max: binary(0x97),
  add: binary(0x92),
  gt: binary(0x5e),
  store: store(0x38),
};

/** `a` where `condition` is not 0, else `b`. */
export const select = (a: Code, b: Code, condition: Code): Code => [...a, ...b, ...condition, 0x1b];

export const v128 = {
  load: load(...simd(0x00)),
  load32Zero: load(...simd(0x5c)),
  load32Splat: load(...simd(0x09)),
  load64Splat: load(...simd(0x0a)),
  store: store(...simd(0x0b)),
  zero: [...simd(0x0c), ...new Array<number>(16).fill(0)] as Code,
  and: binary(...simd(0x4e)),
  xor: binary(...simd(0x51)),
  /** Bits of `a` where `mask` is 1, of `b` where it is 0. */
  bitselect: (a: Code, b: Code, mask: Code): Code => [...a, ...b, ...mask, ...simd(0x52)],
};

export const i8x16 = {
  shuffle: (a: Code, b: Code, lanes: readonly number[]): Code => [...a, ...b, ...simd(0x0d), ...lanes],
};

export const i16x8 = {
  splat: unary(...simd(0x10)),
  shrU: shift(0x8d),
  sub: binary(...simd(0x91)),
  /** Saturates both operands' i32 lanes; here both are the same. */
  narrow: binary(...simd(0x85)),
};

export const i32x4 = {
  splat: unary(...simd(0x11)),
  add: binary(...simd(0xae)),
  /** Four sums of two products of i16 lanes. */
  dot: binary(...simd(0xba)),
  shl: shift(0xab),
  shrU: shift(0xad),
  truncate: unary(...simd(0xf8)),
  lane: lane(0x1b),
};

export const f32x4 = {
  splat: unary(...simd(0x13)),
  lane: lane(0x1f),
  convert: unary(...simd(0xfa)),
  nearest: unary(...simd(0x6a)),
  abs: unary(...simd(0xe0)),
  add: binary(...simd(0xe4)),
  sub: binary(...simd(0xe5)),
  mul: binary(...simd(0xe6)),
  div: binary(...simd(0xe7)),
  min: binary(...simd(0xe8)),
  max: binary(...simd(0xe9)),
  lt: binary(...simd(0x43)),
  gt: binary(...simd(0x44)),
  const: (value: number): Code => f32x4.splat(f32.const(value)),
};

/** Two lanes of float64. */
export const f64x2 = {
  /** The two low lanes of float32, widened. */
  promoteLow: unary(...simd(0x5f)),
  /** Both lanes rounded to float32, in the two low ones. */
  demote: unary(...simd(0x5e)),
  add: binary(...simd(0xf0)),
  sub: binary(...simd(0xf1)),
  mul: binary(...simd(0xf2)),
};

export class Local {
  readonly get: Code;
  readonly #index: number;

  constructor(index: number) {
    this.#index = index;
    this.get = [0x20, ...unsigned(index)];
  }

  set(value: Code): Code {
    return [...value, 0x21, ...unsigned(this.#index)];
  }

  /** Moves a pointer or counter. */
  step(by: Code): Code {
    return this.set(i32.add(this.get, by));
  }
}

export interface KernelFunction {
  readonly name: string;
  readonly parameters: readonly ValueType[];
  readonly locals: readonly ValueType[];
  readonly body: Code;
}

/** One function: parameters first, then locals, then its body. None returns a value. */
export class FunctionBuilder {
  readonly #types: ValueType[] = [];
  #parameters = 0;

  parameter(type: ValueType = I32): Local {
    this.#parameters++;
    return this.local(type);
  }

  local(type: ValueType = I32): Local {
    return new Local(this.#types.push(type) - 1);
  }

  locals(count: number, type: ValueType): Local[] {
    return Array.from({ length: count }, () => this.local(type));
  }

  build(name: string, ...body: Code[]): KernelFunction {
    return {
      name,
      parameters: this.#types.slice(0, this.#parameters),
      locals: this.#types.slice(this.#parameters),
      body: body.flat(),
    };
  }
}

/** Runs the body `count` times; `count` is at least 1 and ends as 0. */
export function repeat(count: Local, ...body: Code[]): Code {
  const next = [...count.set(i32.sub(count.get, i32.const(1))), ...count.get, 0x0d, 0];
  return [0x03, EMPTY_BLOCK, ...body.flat(), ...next, 0x0b];
}

const vector = (items: readonly Code[]): number[] => [...unsigned(items.length), ...items.flat()];
const sized = (bytes: Code): number[] => [...unsigned(bytes.length), ...bytes];
const section = (id: number, items: readonly Code[]): number[] => [id, ...sized(vector(items))];
const text = (value: string): number[] => sized([...new TextEncoder().encode(value)]);

/** A module that imports its memory as `env.memory` and exports the functions by name. */
export function assemble(functions: readonly KernelFunction[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ parameters }) => [0x60, ...vector(parameters.map((type) => [type])), 0]);
  const memory = [...text('env'), ...text('memory'), 0x02, 0x00, 0x01];
  const exported = functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)]);
  const codes = functions.map(({ locals, body }) =>
    sized([...vector(locals.map((type) => [1, type])), ...body, 0x0b]),
  );
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(2, [memory]),
    ...section(
      3,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(7, exported),
    ...section(10, codes),
  ]);
}
