import type { InternVLConfig } from '@speedq/model';
import { SpeedqError } from '@speedq/format';
import type { Feed, Session } from '../session.ts';
import { padded } from './chunks.ts';
import { feedParameters } from './graph-parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { sized } from './language-inputs.ts';
import { TEACHER } from './loss-graph.ts';
import type { QatInputs, QatLoss } from './options.ts';

/** Feeds of the loss on supervised rows [start, start + n), padded with rows that weigh nothing. */
export function lossFeeds(
  session: Session,
  config: InternVLConfig,
  shapes: ParameterShapes,
  loss: QatLoss,
  inputs: QatInputs,
  answers: number,
  start = 0,
  n = answers,
): Map<string, Feed> {
  const { vocabSize, hiddenSize } = config.language;
  const floats = (name: string, data: Float32Array | undefined, width = 1) =>
    padded(sized(name, data, [answers, width]), start * width, n * width);
  sized('selected', inputs.selected, [answers]);
  const feeds = new Map<string, Feed>([
    ['targets', session.indices(padded(sized('targets', inputs.targets, [answers]), start, n), [n])],
    ['weights', session.float(floats('weights', inputs.weights), [n])],
  ]);
  if (loss.kdWeight === 0) return feeds;
  if (inputs.gamma === undefined) {
    throw new SpeedqError(
      'invalid-argument',
      'Distillation needs gamma, in 0…1; measure it with the teacher first.',
    );
  }
  feeds.set('gamma', session.float(Float32Array.of(inputs.gamma), []));
  feeds.set('kd_weights', session.float(floats('kdWeights', inputs.kdWeights ?? inputs.weights), [n]));
  if (loss.teacher === 'rows') {
    feeds.set(
      'teacher_rows',
      session.float(floats('teacherRows', inputs.teacherRows, hiddenSize), [n, hiddenSize]),
    );
    feedParameters(feeds, session, shapes, inputs.teacherParameters ?? new Map(), undefined, TEACHER);
  } else {
    const logits = floats('teacherLogits', inputs.teacherLogits, vocabSize);
    feeds.set('teacher_logits', session.float(logits, [n, vocabSize]));
  }
  return feeds;
}

/** The value of a scalar output. */
export function scalar(results: ReadonlyMap<string, Feed>, name: string): number {
  return (results.get(name)!.data as Float32Array)[0];
}
