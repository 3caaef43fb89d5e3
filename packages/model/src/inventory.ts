import type { InternVLConfig } from './config.ts';
import { EMBEDDING, HEAD } from './forward.ts';

export type ModelPart = 'vision' | 'projector' | 'embedding' | 'language' | 'head';

export type ParameterRole =
  'linear' | 'conv' | 'norm' | 'bias' | 'embedding' | 'layer-scale' | 'position' | 'class-token';

export interface ParameterSpec {
  /** Canonical: as a Hugging Face-layout checkpoint has it on disk. */
  readonly name: string;
  /** Linear weights are [out, in], convolutions [out, in, height, width]. */
  readonly shape: readonly number[];
  readonly part: ModelPart;
  readonly role: ParameterRole;
  /** Index of the encoder or decoder layer, where it belongs to one. */
  readonly layer?: number;
}

/**
 * Every parameter of the model in the order of the forward pass: 733 tensors for InternVL3-1B, 781 for 2B.
 * The head is listed whether or not the checkpoint ties it.
 */
export function parameterInventory(config: InternVLConfig): ParameterSpec[] {
  return [
    ...visionParameters(config),
    ...projectorParameters(config),
    {
      name: EMBEDDING,
      shape: [config.language.vocabSize, config.language.hiddenSize],
      part: 'embedding',
      role: 'embedding',
    },
    ...languageParameters(config),
    {
      name: HEAD,
      shape: [config.language.vocabSize, config.language.hiddenSize],
      part: 'head',
      role: 'linear',
    },
  ];
}

/** Number of elements of a shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

type Place = Pick<ParameterSpec, 'part' | 'layer'>;

function linear(name: string, out: number, inputs: number, place: Place): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape: [out, inputs], role: 'linear', ...place },
    { name: `${name}.bias`, shape: [out], role: 'bias', ...place },
  ];
}

function layerNorm(name: string, size: number, place: Place): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape: [size], role: 'norm', ...place },
    { name: `${name}.bias`, shape: [size], role: 'bias', ...place },
  ];
}

function visionParameters({ vision }: InternVLConfig): ParameterSpec[] {
  const { hiddenSize, intermediateSize, patchSize } = vision;
  const place: Place = { part: 'vision' };
  const prefix = 'vision_tower.embeddings';
  const tokens = 1 + (vision.imageSize / patchSize) ** 2;
  const parameters: ParameterSpec[] = [
    { name: `${prefix}.cls_token`, shape: [1, 1, hiddenSize], role: 'class-token', ...place },
    { name: `${prefix}.position_embeddings`, shape: [1, tokens, hiddenSize], role: 'position', ...place },
    {
      name: `${prefix}.patch_embeddings.projection.weight`,
      shape: [hiddenSize, 3, patchSize, patchSize],
      role: 'conv',
      ...place,
    },
    { name: `${prefix}.patch_embeddings.projection.bias`, shape: [hiddenSize], role: 'bias', ...place },
  ];
  for (let layer = 0; layer < vision.numLayers; layer++) {
    const prefix = `vision_tower.encoder.layer.${layer}`;
    const place: Place = { part: 'vision', layer };
    parameters.push(
      ...layerNorm(`${prefix}.layernorm_before`, hiddenSize, place),
      ...['q_proj', 'k_proj', 'v_proj', 'projection_layer'].flatMap((name) =>
        linear(`${prefix}.attention.${name}`, hiddenSize, hiddenSize, place),
      ),
      { name: `${prefix}.lambda_1`, shape: [hiddenSize], role: 'layer-scale', ...place },
      ...layerNorm(`${prefix}.layernorm_after`, hiddenSize, place),
      ...linear(`${prefix}.mlp.fc1`, intermediateSize, hiddenSize, place),
      ...linear(`${prefix}.mlp.fc2`, hiddenSize, intermediateSize, place),
      { name: `${prefix}.lambda_2`, shape: [hiddenSize], role: 'layer-scale', ...place },
    );
  }
  return parameters;
}

function projectorParameters({ vision, language }: InternVLConfig): ParameterSpec[] {
  const prefix = 'multi_modal_projector';
  const place: Place = { part: 'projector' };
  const inputs = 4 * vision.hiddenSize;
  return [
    ...layerNorm(`${prefix}.layer_norm`, inputs, place),
    ...linear(`${prefix}.linear_1`, language.hiddenSize, inputs, place),
    ...linear(`${prefix}.linear_2`, language.hiddenSize, language.hiddenSize, place),
  ];
}

function languageParameters({ language }: InternVLConfig): ParameterSpec[] {
  const { hiddenSize, intermediateSize, headDim } = language;
  const queries = language.numHeads * headDim;
  const keys = language.numKeyValueHeads * headDim;
  const parameters: ParameterSpec[] = [];
  for (let layer = 0; layer < language.numLayers; layer++) {
    const prefix = `language_model.model.layers.${layer}`;
    const place: Place = { part: 'language', layer };
    const rmsNorm = (name: string): ParameterSpec => ({
      name: `${prefix}.${name}.weight`,
      shape: [hiddenSize],
      role: 'norm',
      ...place,
    });
    const weight = (name: string, out: number, inputs: number): ParameterSpec => ({
      name: `${prefix}.${name}.weight`,
      shape: [out, inputs],
      role: 'linear',
      ...place,
    });
    parameters.push(
      rmsNorm('input_layernorm'),
      ...linear(`${prefix}.self_attn.q_proj`, queries, hiddenSize, place),
      ...linear(`${prefix}.self_attn.k_proj`, keys, hiddenSize, place),
      ...linear(`${prefix}.self_attn.v_proj`, keys, hiddenSize, place),
      weight('self_attn.o_proj', hiddenSize, queries),
      rmsNorm('post_attention_layernorm'),
      weight('mlp.gate_proj', intermediateSize, hiddenSize),
      weight('mlp.up_proj', intermediateSize, hiddenSize),
      weight('mlp.down_proj', hiddenSize, intermediateSize),
    );
  }
  parameters.push({
    name: 'language_model.model.norm.weight',
    shape: [hiddenSize],
    part: 'language',
    role: 'norm',
  });
  return parameters;
}
