import { SpeedqError } from '@speedq/format';
import { ProtobufWriter } from './protobuf.ts';

/** A symbolic dimension is a name; equal names mean equal lengths. */
export type Dim = number | string;
export type Shape = readonly Dim[];
export type ElementType = 'float32' | 'float64' | 'float16' | 'int64' | 'int32' | 'uint8' | 'bool';
export type TensorData = Float32Array | BigInt64Array | Int32Array | Uint8Array;

const ONNX_TYPE: Record<ElementType, number> = {
  float32: 1,
  uint8: 2,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
};
const OPSET = 20;
const IR_VERSION = 9;

/** TensorProto.DataLocation. */
const EXTERNAL = 1;

/** A constant's bytes in a file beside the model. */
export interface ExternalPlace {
  readonly file: string;
  readonly offset: number;
}

export interface Tensor {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: Shape;
}

export type Attribute = number | string | readonly number[] | { readonly float: number };

/** Given the gradients of a node's outputs (undefined where none flows), those of its inputs. */
export type GradientRule = (
  graph: Graph,
  node: Node,
  gradients: readonly (Tensor | undefined)[],
) => readonly (Tensor | undefined)[];

export interface Node {
  readonly op: string;
  readonly domain: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** Replaces the rule of the op: straight-through estimators and fused backward formulas. */
  readonly gradient?: GradientRule;
  /** What the replacing rule differentiates to, where that is not the node's own inputs. */
  readonly gradientInputs?: readonly Tensor[];
}

export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly domain?: string;
  readonly gradient?: GradientRule;
  readonly gradientInputs?: readonly Tensor[];
}

/** An ONNX graph under construction; `primitives.ts` has the operators, `autodiff.ts` the backward pass. */
export class Graph {
  readonly nodes: Node[] = [];
  private readonly inputs: Tensor[] = [];
  /** Constants by name. */
  readonly initializers = new Map<string, { tensor: Tensor; data: TensorData }>();
  private readonly outputs: { name: string; tensor: Tensor }[] = [];
  private readonly scalars = new Map<string, Tensor>();
  private counter = 0;

  input(name: string, shape: Shape, type: ElementType = 'float32'): Tensor {
    if (this.inputs.some((tensor) => tensor.name === name)) {
      throw new SpeedqError('internal', `ONNX graph has two inputs named ${name}; use one.`);
    }
    const tensor = { name, type, shape };
    this.inputs.push(tensor);
    return tensor;
  }

  constant(data: TensorData, shape: readonly number[], name?: string): Tensor {
    const type: ElementType =
      data instanceof Float32Array
        ? 'float32'
        : data instanceof BigInt64Array
          ? 'int64'
          : data instanceof Int32Array
            ? 'int32'
            : 'uint8';
    const tensor = { name: name ?? `constant_${this.counter++}`, type, shape };
    this.initializers.set(tensor.name, { tensor, data });
    return tensor;
  }

  /** A float scalar, shared between equal uses. */
  scalar(value: number): Tensor {
    const key = `f${value}`;
    const known = this.scalars.get(key);
    if (known) return known;
    const tensor = this.constant(Float32Array.of(value), []);
    this.scalars.set(key, tensor);
    return tensor;
  }

  integers(values: readonly number[]): Tensor {
    const key = `i${values.join()}`;
    const known = this.scalars.get(key);
    if (known) return known;
    const tensor = this.constant(BigInt64Array.from(values, BigInt), [values.length]);
    this.scalars.set(key, tensor);
    return tensor;
  }

  node(
    op: string,
    inputs: readonly Tensor[],
    shape: Shape,
    options: NodeOptions & { type?: ElementType } = {},
  ) {
    return this.multi(op, inputs, [{ shape, type: options.type ?? inputs[0].type }], options)[0];
  }

  multi(
    op: string,
    inputs: readonly Tensor[],
    results: readonly { shape: Shape; type: ElementType }[],
    options: NodeOptions = {},
  ): Tensor[] {
    const outputs = results.map(({ shape, type }) => ({ name: `${op}_${this.counter++}`, shape, type }));
    this.nodes.push({
      op,
      domain: options.domain ?? '',
      inputs,
      outputs,
      attributes: options.attributes ?? {},
      gradient: options.gradient,
      gradientInputs: options.gradientInputs,
    });
    return outputs;
  }

  output(name: string, tensor: Tensor): void {
    this.outputs.push({ name, tensor });
  }

  /**
   * Serialised ModelProto. Nodes no output depends on are dropped: onnxruntime would run them.
   * `place`: where a constant's bytes will stand outside the model; undefined keeps it inside.
   */
  build(place?: (bytes: Uint8Array) => ExternalPlace | undefined): Uint8Array {
    const results = this.outputs.map(({ name, tensor }): Tensor => ({ ...tensor, name }));
    const needed = new Set(this.outputs.map(({ tensor }) => tensor.name));
    const kept = this.outputs.map(({ tensor }, i): Node => ({
      op: 'Identity',
      domain: '',
      inputs: [tensor],
      outputs: [results[i]],
      attributes: {},
    }));
    for (let i = this.nodes.length - 1; i >= 0; i--) {
      const node = this.nodes[i];
      if (!node.outputs.some((tensor) => needed.has(tensor.name))) continue;
      kept.push(node);
      for (const tensor of node.inputs) needed.add(tensor.name);
    }
    kept.reverse();

    const graph = new ProtobufWriter().string(2, 'speedq');
    for (const node of kept) graph.message(1, encodeNode(node));
    for (const { tensor, data } of this.initializers.values()) {
      if (needed.has(tensor.name)) graph.message(5, encodeInitializer(tensor, data, place));
    }
    // Inputs nothing reads are left out: onnxruntime would demand feeds for them.
    for (const tensor of this.inputs) if (needed.has(tensor.name)) graph.message(11, encodeValueInfo(tensor));
    for (const tensor of results) graph.message(12, encodeValueInfo(tensor));

    const model = new ProtobufWriter().int(1, IR_VERSION).string(2, 'speedq').message(7, graph);
    for (const domain of new Set(['', ...kept.map((node) => node.domain)])) {
      model.message(8, new ProtobufWriter().string(1, domain).int(2, domain === '' ? OPSET : 1));
    }
    return model.finish();
  }
}

function encodeNode(node: Node): ProtobufWriter {
  const writer = new ProtobufWriter();
  for (const tensor of node.inputs) writer.string(1, tensor.name);
  for (const tensor of node.outputs) writer.string(2, tensor.name);
  writer.string(4, node.op);
  for (const [name, value] of Object.entries(node.attributes)) {
    writer.message(5, encodeAttribute(name, value));
  }
  if (node.domain !== '') writer.string(7, node.domain);
  return writer;
}

function encodeAttribute(name: string, value: Attribute): ProtobufWriter {
  const writer = new ProtobufWriter().string(1, name);
  if (typeof value === 'number') return writer.int(3, value).int(20, 2);
  if (typeof value === 'string') return writer.string(4, value).int(20, 3);
  if ('float' in value) return writer.float(2, value.float).int(20, 1);
  for (const item of value) writer.int(8, item);
  return writer.int(20, 7);
}

function encodeInitializer(
  tensor: Tensor,
  data: TensorData,
  place: ((bytes: Uint8Array) => ExternalPlace | undefined) | undefined,
): ProtobufWriter {
  const writer = new ProtobufWriter();
  for (const dim of tensor.shape) writer.int(1, dim as number);
  writer.int(2, ONNX_TYPE[tensor.type]).string(8, tensor.name);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const external = place?.(bytes);
  if (external === undefined) return writer.bytes(9, bytes);
  const fields = { location: external.file, offset: external.offset, length: bytes.byteLength };
  for (const [key, value] of Object.entries(fields)) {
    writer.message(13, new ProtobufWriter().string(1, key).string(2, `${value}`));
  }
  return writer.int(14, EXTERNAL);
}

function encodeValueInfo(tensor: Tensor): ProtobufWriter {
  const shape = new ProtobufWriter();
  for (const dim of tensor.shape) {
    const encoded = new ProtobufWriter();
    shape.message(1, typeof dim === 'number' ? encoded.int(1, dim) : encoded.string(2, dim));
  }
  const type = new ProtobufWriter().int(1, ONNX_TYPE[tensor.type]).message(2, shape);
  return new ProtobufWriter().string(1, tensor.name).message(2, new ProtobufWriter().message(1, type));
}
