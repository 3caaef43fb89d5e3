import type { Graph, Tensor } from './graph.ts';
import { withGradient } from './composites.ts';
import * as op from './primitives.ts';

/** log Σ exp over the last axis, keeping it: [n, classes] → [n, 1]. */
export function logSumExp(g: Graph, x: Tensor): Tensor {
  const max = op.reduceMax(g, x, [-1]);
  return op.add(g, op.log(g, op.reduceSum(g, op.exp(g, op.sub(g, x, max)), [-1])), max);
}

/** log softmax over the last axis, composed: onnxruntime's WebGPU provider has no LogSoftmax. */
export function logSoftmax(g: Graph, x: Tensor): Tensor {
  const lse = logSumExp(g, x);
  const y = op.sub(g, x, lse);
  return withGradient(g, y, [x], (graph, _node, [dy]) => {
    const total = op.reduceSum(graph, dy!, [-1]);
    return [op.sub(graph, dy!, op.mul(graph, op.exp(graph, y), total))];
  });
}

/**
 * Weighted cross-entropy: Σ weightᵢ · −log softmax(logitsᵢ)[targetᵢ], a sum (callers normalise by weights).
 * logits [n, classes]; targets int64 or int32 [n], any in range where the weight is 0; weights [n].
 * `smoothing` ε puts ε/classes of the target on every class (PyTorch's label_smoothing).
 */
export function crossEntropy(
  g: Graph,
  logits: Tensor,
  targets: Tensor,
  weights: Tensor,
  smoothing = 0,
): Tensor {
  const [n, classes] = logits.shape as number[];
  const lse = logSumExp(g, logits);
  const range = g.constant(sequence(classes, targets.type), [1, classes]);
  const hit = op.cast(g, op.equal(g, op.reshape(g, targets, [n, 1]), range), 'float32');
  const target = smoothing === 0 ? hit : op.add(g, op.mul(g, hit, 1 - smoothing), smoothing / classes);
  const weight = op.reshape(g, weights, [n, 1]);
  const each = op.sub(g, lse, op.reduceSum(g, op.mul(g, logits, target), [-1]));
  const loss = op.reshape(g, op.reduceSum(g, op.mul(g, each, weight), [0]), []);
  return withGradient(g, loss, [logits], (graph, _node, [dy]) => {
    const probabilities = op.exp(graph, op.sub(graph, logits, lse));
    return [op.mul(graph, op.sub(graph, probabilities, target), op.mul(graph, weight, dy!))];
  });
}

/**
 * Confidence-aware distillation (CAKLD): Σ weightᵢ · (γ·KL(S‖T) + (1−γ)·KL(T‖S)), a sum over rows.
 * student and teacher are logits [n, classes], weights and γ [n]; gradients reach the student alone.
 */
export function distillation(
  g: Graph,
  student: Tensor,
  teacher: Tensor,
  weights: Tensor,
  gamma: Tensor,
): Tensor {
  const [n] = student.shape as number[];
  const logStudent = op.sub(g, student, logSumExp(g, student));
  const logTeacher = op.sub(g, teacher, logSumExp(g, teacher));
  const pStudent = op.exp(g, logStudent);
  const pTeacher = op.exp(g, logTeacher);
  const difference = op.sub(g, logStudent, logTeacher);
  const reverse = op.reduceSum(g, op.mul(g, pStudent, difference), [-1]);
  const forward = op.reduceSum(g, op.mul(g, pTeacher, op.neg(g, difference)), [-1]);
  const balance = op.reshape(g, gamma, [n, 1]);
  const rest = op.sub(g, g.scalar(1), balance);
  const each = op.add(g, op.mul(g, reverse, balance), op.mul(g, forward, rest));
  const weight = op.reshape(g, weights, [n, 1]);
  const loss = op.reshape(g, op.reduceSum(g, op.mul(g, each, weight), [0]), []);
  return withGradient(g, loss, [student], (graph, _node, [dy]) => {
    const reverseSlope = op.mul(graph, op.mul(graph, pStudent, op.sub(graph, difference, reverse)), balance);
    const forwardSlope = op.mul(graph, op.sub(graph, pStudent, pTeacher), rest);
    return [op.mul(graph, op.add(graph, reverseSlope, forwardSlope), op.mul(graph, weight, dy!))];
  });
}

/** 0, 1, … as integers of a type. */
function sequence(length: number, type: Tensor['type']): Int32Array | BigInt64Array {
  return type === 'int32'
    ? Int32Array.from({ length }, (_, i) => i)
    : BigInt64Array.from({ length }, (_, i) => BigInt(i));
}
