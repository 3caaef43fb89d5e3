import type { BilevelScheme } from '@speedq/format';
import { elementCount } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { Graph, OnnxOps, Session, differentiate, parameterInputs, primitives as op } from '@speedq/onnx';
import type { Feed, Parameters, Tensor } from '@speedq/onnx';
import {
  attentionFeeds,
  blockContext,
  blockWidths,
  emitBlock,
  inputRows,
  parameterFeedsOf,
  parameterShapes,
  templateName,
} from '../blocks/block.ts';
import type { Block } from '../blocks/block.ts';
import { ort } from '../context.ts';

/** A weight as nodes of what is trained. */
export interface DeclaredWeight {
  /** [rows, columns]: what the linear multiplies by. */
  readonly weight: Tensor;
  /** Inputs that get gradients. */
  readonly trained: readonly Tensor[];
  /** A scalar that is added to the error. */
  readonly penalty?: Tensor;
}

/** Declares a weight of that name (of layer 0) and its inputs in a graph. */
export type DeclareWeight = (
  g: Graph,
  name: string,
  shape: readonly number[],
  scheme: BilevelScheme,
) => DeclaredWeight;

export interface Values {
  readonly data: Float32Array;
  readonly dims: readonly number[];
}

/** Calibration items side by side; sequences padded to the longest the objective was made for. */
export interface ObjectiveBatch {
  /** [rows, features] in front of and behind the block. */
  readonly x: Float32Array;
  readonly target: Float32Array;
  /** Of the rows behind the block; they sum to one, and padding weighs nothing. */
  readonly rowWeights: Float32Array;
  /** Rows of each item, of the language side. */
  readonly lengths: readonly number[];
}

/** Squared error of a block's output against a target, summed over features, and its gradients. */
export class BlockObjective {
  /** By the names of trained inputs; the next run overwrites them. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
  private readonly outputs: Map<string, Feed | undefined>;
  private readonly shapes: ReadonlyMap<string, readonly number[]>;

  private constructor(
    private readonly config: InternVLConfig,
    private readonly block: Block,
    private readonly length: number,
    private readonly session: Session,
    trained: readonly Tensor[],
  ) {
    this.shapes = parameterShapes(config);
    const shapeOf = (tensor: Tensor) => tensor.shape as number[];
    this.gradients = new Map(
      trained.map((tensor) => [tensor.name, new Float32Array(elementCount(shapeOf(tensor)))]),
    );
    this.outputs = new Map<string, Feed | undefined>([['error', undefined]]);
    for (const tensor of trained) {
      const gradient = this.gradients.get(tensor.name)!;
      this.outputs.set(`grad.${tensor.name}`, session.float(gradient, shapeOf(tensor)));
    }
  }

  /** `schemes` of the weights that `declare` makes, by their canonical names; items of `length` rows at most. */
  static async create(
    config: InternVLConfig,
    block: Block,
    schemes: ReadonlyMap<string, BilevelScheme>,
    declare: DeclareWeight,
    { items, length, threads }: { readonly items: number; readonly length: number; readonly threads: number },
  ): Promise<BlockObjective> {
    const { kind } = block;
    const g = new Graph();
    const batch = { items, length };
    const widths = blockWidths(config, kind);
    const shapes = parameterShapes(config);
    const declared = new Map(
      [...schemes].map(([name, scheme]) => {
        const template = templateName(name, block);
        return [template, declare(g, template, shapes.get(template)!, scheme)];
      }),
    );
    const parameter = parameterInputs(g, config);
    const ops = new OnnxOps(g, {
      parameter,
      linearWeight: (name) => declared.get(name)?.weight ?? parameter(name),
      ...blockContext(g, config, kind, batch),
    });
    const y = emitBlock(ops, config, kind, g.input('x', [inputRows(config, kind, batch), widths.input]));
    const rows = kind === 'projector' ? items * config.tokensPerTile : (y.shape[0] as number);
    const difference = op.sub(
      g,
      op.reshape(g, y, [rows, widths.output]),
      g.input('target', [rows, widths.output]),
    );
    const weighted = op.mul(g, op.mul(g, difference, difference), g.input('row_weights', [rows, 1]));
    const error = op.reshape(g, op.reduceSum(g, weighted, [0, 1]), []);
    const penalties = [...declared.values()].flatMap(({ penalty }) => penalty ?? []);
    const seeds: (readonly [Tensor, Tensor])[] = [[error, g.scalar(1)]];
    if (penalties.length > 0) {
      const weight = g.input('penalty_weight', []);
      for (const penalty of penalties) seeds.push([penalty, weight]);
    }
    const trained = [...declared.values()].flatMap((weight) => weight.trained);
    const gradients = differentiate(g, seeds, trained);
    g.output('error', error);
    trained.forEach((tensor, i) => g.output(`grad.${tensor.name}`, gradients[i]!));
    return new BlockObjective(
      config,
      block,
      length,
      await Session.create(ort, g.build(), { threads }),
      trained,
    );
  }

  /** The error, a mean over rows; `values` are what the declared weights are made of, by input name. */
  async run(
    parameters: Parameters,
    values: ReadonlyMap<string, Values>,
    { x, target, rowWeights, lengths }: ObjectiveBatch,
  ): Promise<number> {
    const { session, config, block } = this;
    const widths = blockWidths(config, block.kind);
    const feeds = parameterFeedsOf(session, this.shapes, block, parameters);
    feeds.set('x', session.float(x, [x.length / widths.input, widths.input]));
    feeds.set('target', session.float(target, [rowWeights.length, widths.output]));
    feeds.set('row_weights', session.float(rowWeights, [rowWeights.length, 1]));
    for (const [name, { data, dims }] of values) feeds.set(name, session.float(data, dims));
    if (block.kind === 'language') {
      for (const [name, feed] of attentionFeeds(session, config, lengths, this.length)) feeds.set(name, feed);
    }
    const results = await session.run(feeds, this.outputs);
    return (results.get('error')!.data as Float32Array)[0];
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
