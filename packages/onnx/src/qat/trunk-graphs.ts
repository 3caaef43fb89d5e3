import { languageBlock, languageEmbed, projector } from '@speedq/model';
import type { InternVLConfig } from '@speedq/model';
import { differentiate } from '../autodiff.ts';
import { Graph } from '../graph.ts';
import type { Tensor } from '../graph.ts';
import { OnnxOps } from '../onnx-ops.ts';
import { GraphParameters } from './graph-parameters.ts';
import type { ParameterShapes } from './graph-parameters.ts';
import { languageContext, visionContext, visionFeaturesInput } from './language-inputs.ts';
import type { TrunkOptions } from './options.ts';

/** Output of a backward graph: the gradient of a parameter. */
export const gradientName = (parameter: string) => `grad.${parameter}`;

/**
 * A stretch of the language side as graphs: `forward` maps its inputs to `y`; `backward` takes the same
 * inputs and `dy`, recomputes, and gives `dx` (where the stretch has an `x`) and the gradients of `trained`.
 */
export interface Stretch {
  readonly forward: Uint8Array;
  /** Absent where nothing in front of `y` trains. */
  readonly backward?: Uint8Array;
  readonly trained: readonly string[];
}

type Emit = (g: Graph, ops: OnnxOps) => { readonly y: Tensor; readonly x?: Tensor };

function buildStretch(
  config: InternVLConfig,
  shapes: ParameterShapes,
  options: TrunkOptions,
  trains: (name: string) => boolean,
  emit: Emit,
): Stretch {
  const start = () => {
    const g = new Graph();
    const parameters = new GraphParameters(g, shapes, options);
    const ops = new OnnxOps(g, {
      parameter: parameters.parameter,
      linearWeight: parameters.linearWeight,
      vision: visionContext(config, options),
      language: languageContext(g, config, options),
    });
    return { g, parameters, ...emit(g, ops) };
  };
  const forward = start();
  forward.g.output('y', forward.y);

  const { g, parameters, x, y } = start();
  const trained = parameters.names.filter(trains);
  if (trained.length === 0 && !x) return { forward: forward.g.build(), trained };
  const dy = g.input('dy', y.shape);
  const wanted = [...trained.map(parameters.parameter), ...(x ? [x] : [])];
  const gradients = differentiate(g, [[y, dy]], wanted);
  trained.forEach((name, i) => g.output(gradientName(name), gradients[i]!));
  if (x) g.output('dx', gradients[trained.length]!);
  return { forward: forward.g.build(), backward: g.build(), trained };
}

/** Token ids and the vision encoder's output → the first layer's input: projector, embedding, placing. */
export function entryStretch(
  config: InternVLConfig,
  shapes: ParameterShapes,
  options: TrunkOptions,
  trains: (name: string) => boolean,
): Stretch {
  return buildStretch(config, shapes, options, trains, (g, ops) => {
    const ids = g.input('input_ids', [options.batch * options.length], 'int32');
    const features =
      options.tiles > 0 ? projector(ops, config, visionFeaturesInput(g, config, options)) : undefined;
    return { y: languageEmbed(ops, config, ids, features) };
  });
}

/** One decoder layer, under the names of layer `layer`. */
export function layerStretch(
  config: InternVLConfig,
  shapes: ParameterShapes,
  options: TrunkOptions,
  trains: (name: string) => boolean,
  layer: number,
): Stretch {
  return buildStretch(config, shapes, options, trains, (g, ops) => {
    const x = g.input('x', [options.batch * options.length, config.language.hiddenSize]);
    return { x, y: languageBlock(ops, config, layer, x) };
  });
}
