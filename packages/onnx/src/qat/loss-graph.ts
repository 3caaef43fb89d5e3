import { SpeedqError } from '@speedq/format';
import { languageHead } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { differentiate } from '../autodiff.ts';
import { Graph } from '../graph.ts';
import type { Tensor } from '../graph.ts';
import { crossEntropy, distillation, logSumExp } from '../losses.ts';
import { OnnxOps } from '../onnx-ops.ts';
import * as op from '../primitives.ts';
import { GraphParameters, parameterShapes } from './graph-parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import type { LossTeacher, QatLoss, QatStepOptions, TrunkOptions } from './options.ts';
import { gradientName } from './trunk-graphs.ts';

/** Before the names of the teacher's parameters among a graph's inputs. */
export const TEACHER = 'teacher.';

/**
 * The losses of logits [n, vocabulary], as outputs `ce` and `kd`; their inputs are declared here. Of `answers`
 * rows of the teacher n are taken. Returns what to differentiate.
 */
export function emitLosses(
  g: Graph,
  { ceWeight, kdWeight, labelSmoothing, teacher }: QatLoss,
  logits: Tensor,
  answers: number,
): Tensor {
  const [n, vocabulary] = logits.shape as number[];
  const terms: Tensor[] = [];
  const targets = g.input('targets', [n], 'int32');
  const ce = crossEntropy(g, logits, targets, g.input('weights', [n]), labelSmoothing);
  g.output('ce', ce);
  if (ceWeight !== 0) terms.push(op.mul(g, ce, ceWeight));
  if (kdWeight !== 0) {
    const wanted = teacher
      ? logitsOfTeacher(g, teacher, [n, vocabulary], answers)
      : g.input('teacher_logits', [n, vocabulary]);
    const kd = distillation(g, logits, wanted, g.input('kd_weights', [n]), g.input('gamma', [n]));
    g.output('kd', kd);
    terms.push(op.mul(g, kd, kdWeight));
  }
  return terms.length === 0 ? op.mul(g, ce, 0) : terms.reduce((sum, term) => op.add(g, sum, term));
}

/** The teacher's head on n of its `answers` rows. */
function logitsOfTeacher(
  g: Graph,
  { config, storage }: LossTeacher,
  [n, vocabulary]: readonly [number, number],
  answers: number,
): Tensor {
  const { hiddenSize, vocabSize } = config.language;
  if (vocabSize !== vocabulary) {
    throw new SpeedqError(
      'invalid-argument',
      `The teacher has a vocabulary of ${vocabSize} tokens, the student one of ${vocabulary}; ` +
        'distillation compares token by token. Take a teacher of the same family.',
    );
  }
  const { parameter } = new GraphParameters(g, parameterShapes(config), { storage }, TEACHER);
  const rows = g.input('teacher_rows', [answers, hiddenSize]);
  const taken = op.gatherRows(g, rows, g.input('teacher_places', [n], 'int32'));
  return languageHead(new OnnxOps(g, { parameter }), config, taken);
}

/** Before the names of sums that a chunk adds to: what they were. */
export const BEFORE = 'before.';

/**
 * One chunk of `n` supervised rows, the `selected` of `x` [batch · length, hidden] → its losses, and `dx` and
 * gradients of the norm and the head, added to those of the chunks before it (zeros of any shape that spreads to theirs).
 */
export function lossStretch(
  config: InternVLConfig,
  shapes: ParameterShapes,
  options: QatStepOptions,
  trains: (name: string) => boolean,
  n: number,
): { model: Uint8Array; trained: readonly string[] } {
  const g = new Graph();
  const parameters = new GraphParameters(g, shapes, options);
  const ops = new OnnxOps(g, { parameter: parameters.parameter, linearWeight: parameters.linearWeight });
  const x = g.input('x', [options.batch * options.length, config.language.hiddenSize]);
  const rows = op.gatherRows(g, x, g.input('selected', [n], 'int32'));
  const logits = languageHead(ops, config, rows);
  const total = emitLosses(g, options.loss, logits, options.answers);
  const trained = parameters.names.filter(trains);
  const gradients = differentiate(g, [[total, g.scalar(1)]], [...trained.map(parameters.parameter), x]);
  [...trained.map(gradientName), 'dx'].forEach((name, i) => {
    const part = gradients[i]!;
    const before = g.input(
      BEFORE + name,
      part.shape.map((_, axis) => `${name}.${axis}`),
    );
    g.output(name, op.add(g, part, before));
  });
  return { model: g.build(), trained };
}

/** Any number of `rows` [rows, hidden] → `logits`, and `top`, the largest probability of each. */
export function headGraph(
  config: InternVLConfig,
  shapes: ParameterShapes,
  options: Pick<TrunkOptions, 'scheme' | 'learned' | 'reference' | 'storage'>,
): Uint8Array {
  const g = new Graph();
  const { parameter, linearWeight } = new GraphParameters(g, shapes, options);
  const ops = new OnnxOps(g, { parameter, linearWeight });
  const logits = languageHead(ops, config, g.input('rows', ['rows', config.language.hiddenSize]));
  g.output('logits', logits);
  g.output('top', op.exp(g, op.sub(g, op.reduceMax(g, logits, [-1]), logSumExp(g, logits))));
  return g.build();
}
