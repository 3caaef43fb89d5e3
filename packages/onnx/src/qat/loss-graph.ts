import { languageHead } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { differentiate } from '../autodiff.ts';
import { Graph } from '../graph.ts';
import type { Tensor } from '../graph.ts';
import { crossEntropy, distillation, logSumExp } from '../losses.ts';
import { OnnxOps } from '../onnx-ops.ts';
import * as op from '../primitives.ts';
import { GraphParameters } from './graph-parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import type { QatLoss, TrunkOptions } from './options.ts';
import { gradientName } from './trunk-graphs.ts';

/** Before the names of the teacher's parameters among a graph's inputs. */
export const TEACHER = 'teacher.';

/**
 * The losses of logits [n, vocabulary], as outputs `ce` and `kd`; their inputs are declared here. Returns
 * what to differentiate.
 */
export function emitLosses(
  g: Graph,
  config: InternVLConfig,
  shapes: ParameterShapes,
  { ceWeight, kdWeight, labelSmoothing, teacher = 'logits' }: QatLoss,
  logits: Tensor,
): Tensor {
  const [n, vocabulary] = logits.shape as number[];
  const terms: Tensor[] = [];
  const targets = g.input('targets', [n], 'int32');
  const ce = crossEntropy(g, logits, targets, g.input('weights', [n]), labelSmoothing);
  g.output('ce', ce);
  if (ceWeight !== 0) terms.push(op.mul(g, ce, ceWeight));
  if (kdWeight !== 0) {
    const rowsOfTeacher = () => {
      const { parameter } = new GraphParameters(g, shapes, {}, TEACHER);
      return languageHead(
        new OnnxOps(g, { parameter }),
        config,
        g.input('teacher_rows', [n, config.language.hiddenSize]),
      );
    };
    const wanted = teacher === 'rows' ? rowsOfTeacher() : g.input('teacher_logits', [n, vocabulary]);
    const kd = distillation(g, logits, wanted, g.input('kd_weights', [n]), g.input('gamma', []));
    g.output('kd', kd);
    terms.push(op.mul(g, kd, kdWeight));
  }
  return terms.length === 0 ? op.mul(g, ce, 0) : terms.reduce((sum, term) => op.add(g, sum, term));
}

/** One chunk of supervised rows: `rows` [n, hidden] → losses, `drows` and gradients of the norm and the head. */
export function lossStretch(
  config: InternVLConfig,
  shapes: ParameterShapes,
  options: Pick<TrunkOptions, 'scheme' | 'learned' | 'reference'> & { readonly loss: QatLoss },
  trains: (name: string) => boolean,
  n: number,
): { model: Uint8Array; trained: readonly string[] } {
  const g = new Graph();
  const parameters = new GraphParameters(g, shapes, options);
  const ops = new OnnxOps(g, { parameter: parameters.parameter, linearWeight: parameters.linearWeight });
  const rows = g.input('rows', [n, config.language.hiddenSize]);
  const total = emitLosses(g, config, shapes, options.loss, languageHead(ops, config, rows));
  const trained = parameters.names.filter(trains);
  const gradients = differentiate(g, [[total, g.scalar(1)]], [...trained.map(parameters.parameter), rows]);
  trained.forEach((name, i) => g.output(gradientName(name), gradients[i]!));
  g.output('drows', gradients[trained.length]!);
  return { model: g.build(), trained };
}

/** Any number of `rows` [rows, hidden] → `logits`, and `top`, the largest probability of each. */
export function headGraph(
  config: InternVLConfig,
  shapes: ParameterShapes,
  options: Pick<TrunkOptions, 'scheme' | 'learned' | 'reference'>,
): Uint8Array {
  const g = new Graph();
  const { parameter, linearWeight } = new GraphParameters(g, shapes, options);
  const ops = new OnnxOps(g, { parameter, linearWeight });
  const logits = languageHead(ops, config, g.input('rows', ['rows', config.language.hiddenSize]));
  g.output('logits', logits);
  g.output('top', op.exp(g, op.sub(g, op.reduceMax(g, logits, [-1]), logSumExp(g, logits))));
  return g.build();
}
