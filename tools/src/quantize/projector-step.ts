import { elementCount, parameterInventory, projector } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { Graph, OnnxOps, Session, differentiate, parameterInputs, primitives as op } from '@speedq/onnx';
import type { Feed, Parameters } from '@speedq/onnx';
import { ort } from './context.ts';
import { tileTokens } from './blocks/block.ts';

const TEACHER = 'teacher.';

/**
 * How far the projector behind the quantized encoder is from the original projector behind the original encoder:
 * ‖p(x) − p*(x*)‖² / ‖p*(x*)‖² over a batch of tiles, and its gradient.
 */
export class ProjectorStep {
  /** By parameter; the next run overwrites them. */
  readonly gradients: ReadonlyMap<string, Feed>;
  private readonly outputs: Map<string, Feed | undefined>;
  private readonly shapes: ReadonlyMap<string, readonly number[]>;

  private constructor(
    private readonly session: Session,
    private readonly featureShape: readonly number[],
    config: InternVLConfig,
  ) {
    const trained = parameterInventory(config).filter(({ part }) => part === 'projector');
    this.shapes = new Map(trained.map(({ name, shape }) => [name, shape]));
    this.gradients = new Map(
      trained.map(({ name, shape }) => [name, session.float(new Float32Array(elementCount(shape)), shape)]),
    );
    this.outputs = new Map<string, Feed | undefined>([['loss', undefined]]);
    for (const [name, tensor] of this.gradients) this.outputs.set(`grad.${name}`, tensor);
  }

  /** `batch` tiles. */
  static async create(config: InternVLConfig, batch: number, threads: number): Promise<ProjectorStep> {
    const g = new Graph();
    const vision = { tiles: batch, tokens: tileTokens(config) };
    const features = [batch * vision.tokens, config.vision.hiddenSize];
    const trained = parameterInventory(config).filter(({ part }) => part === 'projector');
    const shapes = new Map(trained.map(({ name, shape }) => [name, shape]));
    const parameter = parameterInputs(g, config);
    const original = new Map(trained.map(({ name }) => [name, g.input(TEACHER + name, shapes.get(name)!)]));
    const teacher = new OnnxOps(g, { parameter: (name) => original.get(name)!, vision });
    const y = projector(new OnnxOps(g, { parameter, vision }), config, g.input('features', features));
    const target = projector(teacher, config, g.input(`${TEACHER}features`, features));
    const difference = op.sub(g, y, target);
    const loss = op.reshape(
      g,
      op.div(
        g,
        op.reduceSum(g, op.mul(g, difference, difference), [0, 1]),
        op.reduceSum(g, op.mul(g, target, target), [0, 1]),
      ),
      [],
    );
    const wanted = trained.map(({ name }) => parameter(name));
    const gradients = differentiate(g, [[loss, g.scalar(1)]], wanted);
    g.output('loss', loss);
    trained.forEach(({ name }, i) => g.output(`grad.${name}`, gradients[i]!));
    return new ProjectorStep(await Session.create(ort, g.build(), { threads }), features, config);
  }

  /** Features [batch · tokens, vision hidden] of the same tiles from either encoder. */
  async run(
    student: { readonly parameters: Parameters; readonly features: Float32Array },
    teacher: { readonly parameters: Parameters; readonly features: Float32Array },
  ): Promise<number> {
    const { session, featureShape } = this;
    const feeds = new Map<string, Feed>([
      ['features', session.float(student.features, featureShape)],
      [`${TEACHER}features`, session.float(teacher.features, featureShape)],
    ]);
    for (const [name, shape] of this.shapes) {
      feeds.set(name, session.float(student.parameters.get(name)!, shape));
      feeds.set(TEACHER + name, session.float(teacher.parameters.get(name)!, shape));
    }
    return ((await session.run(feeds, this.outputs)).get('loss')!.data as Float32Array)[0];
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}
