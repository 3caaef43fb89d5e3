import type { InternVLConfig } from '@speedq/model';
import { SpeedqError } from '@speedq/format';
import type { Feed, Session } from '../session.ts';
import { padded } from './chunks.ts';
import { feedParameters, parameterShapes } from './graph-parameters.ts';
import { sized } from './language-inputs.ts';
import { TEACHER } from './loss-graph.ts';
import type { QatInputs, QatLoss } from './options.ts';

/** Inputs of the loss on supervised rows [start, start + n), padded with rows that weigh nothing. */
export function lossFeeds(
  session: Session,
  config: InternVLConfig,
  loss: QatLoss,
  inputs: QatInputs,
  answers: number,
  start = 0,
  n = answers,
): Map<string, Feed> {
  const { vocabSize } = config.language;
  const floats = (name: string, data: Float32Array | undefined, width = 1) =>
    padded(sized(name, data, [answers, width]), start * width, n * width);
  const selected = padded(sized('selected', inputs.selected, [answers]), start, n);
  const feeds = new Map<string, Feed>([
    ['selected', session.indices(selected, [n])],
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
  const { gamma } = inputs;
  const balance = typeof gamma === 'number' ? new Float32Array(answers).fill(gamma) : gamma;
  feeds.set('gamma', session.float(floats('gamma', balance), [n]));
  feeds.set('kd_weights', session.float(floats('kdWeights', inputs.kdWeights ?? inputs.weights), [n]));
  if (loss.teacher) {
    const places = Array.from({ length: n }, (_, i) => Math.min(start + i, answers - 1));
    feeds.set('teacher_places', session.indices(places, [n]));
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

/** The teacher's rows as they are given, for every chunk to take its own from. */
export function teacherRowsFeed(
  session: Session,
  { kdWeight, teacher }: QatLoss,
  { teacherRows }: QatInputs,
  answers: number,
): Map<string, Feed> {
  if (kdWeight === 0 || teacher === undefined) return new Map();
  const isArray = teacherRows === undefined || teacherRows instanceof Float32Array;
  const dims = [answers, teacher.config.language.hiddenSize];
  return new Map([
    ['teacher_rows', isArray ? session.float(sized('teacherRows', teacherRows, dims), dims) : teacherRows],
  ]);
}

/** The parameters of the teacher's head. */
export function feedTeacher(
  feeds: Map<string, Feed>,
  session: Session,
  { teacher }: QatLoss,
  { teacherParameters = new Map() }: QatInputs,
): void {
  if (teacher === undefined) return;
  feedParameters(feeds, session, parameterShapes(teacher.config), teacherParameters, undefined, TEACHER);
}
