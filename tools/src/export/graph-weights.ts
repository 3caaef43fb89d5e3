import { elementCount } from '@speedq/model';
import type { Epilogue, Linear } from '@speedq/model';
import { OnnxOps, blockConstants, matMulNBits, primitives as op } from '@speedq/onnx';
import type { AccuracyLevel, BlockWeights, Graph, OnnxOpsOptions, Tensor } from '@speedq/onnx';

/** The weights of one graph, as constants. */
export interface GraphWeights {
  readonly float: ReadonlyMap<string, { readonly shape: readonly number[]; readonly values: Float32Array }>;
  readonly blocks: ReadonlyMap<string, BlockWeights>;
  readonly accuracyLevel: AccuracyLevel;
}

/** `Ops` whose quantized linears are MatMulNBits nodes; everything else as in `OnnxOps`. */
export class ExportOps extends OnnxOps {
  private readonly graph: Graph;
  private readonly weights: GraphWeights;
  private readonly floatTensor: (name: string) => Tensor;

  constructor(graph: Graph, weights: GraphWeights, options: Omit<OnnxOpsOptions, 'parameter'>) {
    const known = new Map<string, Tensor>();
    const parameter = (name: string): Tensor => {
      const { shape, values } = weights.float.get(name)!;
      const tensor = known.get(name) ?? graph.constant(values, shape, name);
      known.set(name, tensor);
      return tensor;
    };
    super(graph, { ...options, parameter });
    this.graph = graph;
    this.weights = weights;
    this.floatTensor = parameter;
  }

  override linear(x: Tensor, linear: Linear, epilogue: Epilogue<Tensor> = {}): Tensor {
    const blocks = this.weights.blocks.get(linear.weight);
    if (blocks === undefined) return super.linear(x, linear, epilogue);
    const g = this.graph;
    const constants = blockConstants(g, linear.weight, blocks);
    let y = matMulNBits(g, x, constants, blocks, this.weights.accuracyLevel);
    if (linear.bias !== undefined) y = op.add(g, y, this.floatTensor(linear.bias));
    if (linear.activation === 'gelu') y = g.node('Gelu', [y], y.shape);
    if (epilogue.scale !== undefined) y = op.mul(g, y, this.floatTensor(epilogue.scale));
    return epilogue.residual === undefined ? y : op.add(g, epilogue.residual, y);
  }

  /** Rows of a quantized table, dequantized after the look-up: in operators every runtime has. */
  override embed(ids: Tensor, weight: string): Tensor {
    const blocks = this.weights.blocks.get(weight);
    if (blocks === undefined) return super.embed(ids, weight);
    const g = this.graph;
    const { rows, columns, blockSize } = blocks;
    const groups = columns / blockSize;
    const codes = g.constant(shiftedCodes(blocks), [rows, groups, blockSize], `${weight}.codes`);
    const scales = g.constant(blocks.scales, [rows, groups, 1], `${weight}.scales`);
    // Codes are kept one to a byte and 128 too high: ONNX has no Gather of half bytes.
    const centred = op.sub(g, op.cast(g, op.gatherRows(g, codes, ids), 'float32'), g.scalar(CENTRE));
    return op.reshape(g, op.mul(g, centred, op.gatherRows(g, scales, ids)), [...ids.shape, columns]);
  }
}

const CENTRE = 128;

/** code − zero + 128, one byte each. */
function shiftedCodes({ rows, columns, bits, blockSize, codes, zeros }: BlockWeights): Uint8Array {
  const shifted = new Uint8Array(elementCount([rows, columns]));
  const mask = 2 ** bits - 1;
  const perByte = 8 / bits;
  const zeroBytes = zeros.length / rows;
  for (let i = 0; i < shifted.length; i++) {
    const column = i % columns;
    const row = (i - column) / columns;
    const group = Math.floor(column / blockSize);
    const code = (codes[Math.floor(i / perByte)] >> ((i % perByte) * bits)) & mask;
    const zero = (zeros[row * zeroBytes + Math.floor(group / perByte)] >> ((group % perByte) * bits)) & mask;
    shifted[i] = code - zero + CENTRE;
  }
  return shifted;
}
