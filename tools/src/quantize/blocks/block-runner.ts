import type { InternVLConfig } from '@speedq/model';
import { Graph, Session, parameterInputs, primitives as op } from '@speedq/onnx';
import type { Feed, Parameters } from '@speedq/onnx';
import { ort } from '../context.ts';
import { RecordingOps } from '../recording-ops.ts';
import {
  attentionFeeds,
  blockContext,
  blockWidths,
  emitBlock,
  inputRows,
  outputSize,
  ownName,
  parameterFeedsOf,
  parameterShapes,
} from './block.ts';
import type { Block, BlockKind } from './block.ts';

const ONE_ITEM = { items: 1, length: 'length' } as const;

/** What the linears of a block multiplied by, summed over items. */
export interface GramSum {
  /** Names of the weights that share this input. */
  readonly weights: readonly string[];
  readonly columns: number;
  /** XᵀX [columns, columns]. */
  readonly matrix: Float64Array;
}

interface Compiled {
  readonly forward: Session;
  readonly recording: Session;
  /** Inputs of linears by their tensor's name: the weights, under the names of layer 0. */
  readonly inputs: ReadonlyMap<string, { readonly weights: readonly string[]; readonly columns: number }>;
}

/** Runs blocks of one kind, item by item. */
export class BlockRunner {
  private readonly shapes: ReadonlyMap<string, readonly number[]>;

  private constructor(
    readonly config: InternVLConfig,
    readonly kind: BlockKind,
    private readonly compiled: Compiled,
  ) {
    this.shapes = parameterShapes(config);
  }

  static async create(config: InternVLConfig, kind: BlockKind, threads: number): Promise<BlockRunner> {
    const build = (recording: boolean) => {
      const g = new Graph();
      const context = blockContext(g, config, kind, ONE_ITEM);
      const ops = new RecordingOps(g, { parameter: parameterInputs(g, config), ...context });
      const { input } = blockWidths(config, kind);
      g.output('y', emitBlock(ops, config, kind, g.input('x', [inputRows(config, kind, ONE_ITEM), input])));
      if (recording) {
        for (const tensor of new Set(ops.inputs.values())) {
          g.output(gramOf(tensor.name), op.gemm(g, tensor, tensor, { transA: true }));
        }
      }
      return { model: g.build(), inputs: ops.inputs };
    };
    const recording = build(true);
    const inputs = new Map<string, { weights: string[]; columns: number }>();
    for (const [weight, tensor] of recording.inputs) {
      const known = inputs.get(tensor.name);
      if (known) known.weights.push(weight);
      else inputs.set(tensor.name, { weights: [weight], columns: tensor.shape[1] as number });
    }
    return new BlockRunner(config, kind, {
      forward: await Session.create(ort, build(false).model, { threads }),
      recording: await Session.create(ort, recording.model, { threads }),
      inputs,
    });
  }

  /** x [rows, features] of one item through a block. */
  async forward(block: Block, parameters: Parameters, x: Float32Array): Promise<Float32Array> {
    const { forward } = this.compiled;
    const results = await forward.run(this.feeds(forward, block, parameters, x), ['y']);
    return results.get('y')!.data as Float32Array;
  }

  /** Sums XᵀX of the inputs of all linears of a block over items. */
  async grams(
    block: Block,
    parameters: Parameters,
    items: Iterable<Float32Array>,
  ): Promise<readonly GramSum[]> {
    const { recording, inputs } = this.compiled;
    const sums = new Map(
      [...inputs].map(([tensor, { weights, columns }]) => [
        tensor,
        {
          weights: weights.map((name) => ownName(name, block)),
          columns,
          matrix: new Float64Array(columns * columns),
        },
      ]),
    );
    for (const x of items) {
      const results = await recording.run(this.feeds(recording, block, parameters, x));
      for (const [tensor, { matrix }] of sums) {
        const part = results.get(gramOf(tensor))!.data as Float32Array;
        for (let i = 0; i < part.length; i++) matrix[i] += part[i];
      }
    }
    return [...sums.values()];
  }

  outputSize(size: number): number {
    return outputSize(this.config, this.kind, size);
  }

  async release(): Promise<void> {
    await this.compiled.forward.release();
    await this.compiled.recording.release();
  }

  private feeds(session: Session, block: Block, parameters: Parameters, x: Float32Array): Map<string, Feed> {
    const { input } = blockWidths(this.config, this.kind);
    const rows = x.length / input;
    const feeds = parameterFeedsOf(session, this.shapes, block, parameters);
    feeds.set('x', session.float(x, [rows, input]));
    if (this.kind === 'language') {
      for (const [name, feed] of attentionFeeds(session, this.config, [rows], rows)) feeds.set(name, feed);
    }
    return feeds;
  }
}

const gramOf = (tensor: string) => `gram.${tensor}`;
