import type { BilevelScheme } from '@speedq/format';
import { elementCount, parameterInventory, visionBlock } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { Graph, OnnxOps, Session, differentiate, parameterInputs, primitives as op } from '@speedq/onnx';
import type { Feed, Parameters, Tensor } from '@speedq/onnx';
import { ort } from '../context.ts';
import type { Rounding } from './adaround.ts';
import { roundingInputs, softWeight } from './soft-weight.ts';
import { tileTokens } from './vision-blocks.ts';

/** A block's roundings and float parameters, under the names of layer 0. */
export interface BlockState {
  readonly parameters: Parameters;
  readonly roundings: ReadonlyMap<string, Omit<Rounding, 'initial'>>;
  readonly alphas: ReadonlyMap<string, Float32Array>;
}

export interface ReconstructionLoss {
  /** Squared error of the block's output, summed over features and averaged over tokens. */
  readonly error: number;
  /** Σ 1 − |2h − 1|^β. */
  readonly indecision: number;
}

/** Error of one block with soft rounding, and its gradient by α. */
export class ReconstructionStep {
  /** d(error + λ·indecision)/dα by weight; the next run overwrites them. */
  readonly gradients = new Map<string, Float32Array>();
  private readonly outputs = new Map<string, Feed | undefined>([
    ['error', undefined],
    ['indecision', undefined],
  ]);
  private readonly shapes: ReadonlyMap<string, readonly number[]>;

  private constructor(
    private readonly config: InternVLConfig,
    private readonly session: Session,
    private readonly schemes: ReadonlyMap<string, BilevelScheme>,
  ) {
    this.shapes = new Map(parameterInventory(config).map(({ name, shape }) => [name, shape]));
    for (const [name, scheme] of schemes) {
      const gradient = new Float32Array(elementCount(this.shapes.get(name)!));
      this.gradients.set(name, gradient);
      this.outputs.set(`grad.${name}`, session.float(gradient, this.grouped(name, scheme)));
    }
  }

  /** `schemes` of the weights to round, under the names of layer 0; `batch` tiles. */
  static async create(
    config: InternVLConfig,
    schemes: ReadonlyMap<string, BilevelScheme>,
    batch: number,
    threads: number,
  ): Promise<ReconstructionStep> {
    const g = new Graph();
    const tokens = tileTokens(config);
    const rows = batch * tokens;
    const shape = [rows, config.vision.hiddenSize];
    const beta = g.input('beta', []);
    const shapes = new Map(parameterInventory(config).map((spec) => [spec.name, spec.shape]));
    const soft = new Map(
      [...schemes].map(([name, scheme]) => [name, softWeight(g, name, shapes.get(name)!, scheme, beta)]),
    );
    const parameter = parameterInputs(g, config);
    const ops = new OnnxOps(g, {
      parameter,
      linearWeight: (name) => soft.get(name)?.weight ?? parameter(name),
      vision: { tiles: batch, tokens },
    });
    const y = visionBlock(ops, config, 0, g.input('x', shape));
    const difference = op.sub(g, y, g.input('target', shape));
    const square = op.reduceSum(g, op.mul(g, difference, difference), [0, 1]);
    const error = op.reshape(g, op.mul(g, square, 1 / rows), []);
    const indecision = [...soft.values()]
      .map((weight) => weight.indecision)
      .reduce((sum, term) => op.add(g, sum, term));
    const alphas = [...soft.values()].map(({ alpha }): Tensor => alpha);
    const seeds = [[error, g.scalar(1)] as const, [indecision, g.input('lambda', [])] as const];
    const gradients = differentiate(g, seeds, alphas);
    g.output('error', error);
    g.output('indecision', indecision);
    [...schemes.keys()].forEach((name, i) => g.output(`grad.${name}`, gradients[i]!));
    return new ReconstructionStep(config, await Session.create(ort, g.build(), { threads }), schemes);
  }

  /** x and target [batch · tokens, hidden]. */
  async run(
    { parameters, roundings, alphas }: BlockState,
    x: Float32Array,
    target: Float32Array,
    { lambda, beta }: { readonly lambda: number; readonly beta: number },
  ): Promise<ReconstructionLoss> {
    const { session, config } = this;
    const shape = [x.length / config.vision.hiddenSize, config.vision.hiddenSize];
    const feeds = new Map<string, Feed>([
      ['x', session.float(x, shape)],
      ['target', session.float(target, shape)],
      ['lambda', session.float(Float32Array.of(lambda), [])],
      ['beta', session.float(Float32Array.of(beta), [])],
    ]);
    for (const [name, values] of parameters) {
      if (session.inputNames.includes(name)) feeds.set(name, session.float(values, this.shapes.get(name)!));
    }
    for (const [name, { base, parameters: chosen }] of roundings) {
      const names = roundingInputs(name);
      const whole = this.grouped(name, this.schemes.get(name)!);
      const perGroup = [whole[0], whole[1], 1];
      feeds.set(names.alpha, session.float(alphas.get(name)!, whole));
      feeds.set(names.base, session.float(base, whole));
      feeds.set(names.scale, session.float(chosen.scale, perGroup));
      feeds.set(names.zero, session.float(Float32Array.from(chosen.zero), perGroup));
    }
    const results = await session.run(feeds, this.outputs);
    const scalar = (name: string) => (results.get(name)!.data as Float32Array)[0];
    return { error: scalar('error'), indecision: scalar('indecision') };
  }

  async release(): Promise<void> {
    await this.session.release();
  }

  private grouped(name: string, { groupSize }: BilevelScheme): number[] {
    const [rows, columns] = this.shapes.get(name)!;
    return [rows, columns / groupSize, groupSize];
  }
}
