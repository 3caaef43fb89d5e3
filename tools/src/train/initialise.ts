import type { InternVLConfig } from '@speedq/model';
import { createRandom } from '../data/random.ts';
import type { ParameterLayout, ParameterSlot } from './parameter-layout.ts';

/** Written for small models trained from scratch: unit-gain linears, residual branches scaled by depth. */
export function initialise(config: InternVLConfig, layout: ParameterLayout, seed: number): Float32Array {
  const flat = new Float32Array(layout.total);
  layout.slots.forEach((slot, index) => {
    const values = flat.subarray(slot.offset, slot.offset + slot.size);
    const deviation = standardDeviation(config, slot);
    if (isOne(slot.name)) values.fill(1);
    else if (deviation > 0) fillNormal(values, deviation, createRandom(seed, index));
  });
  return flat;
}

const isOne = (name: string) => /(norm\w*\.weight|layer_norm\.weight|lambda_[12])$/.test(name);

function standardDeviation(config: InternVLConfig, { name, shape }: ParameterSlot): number {
  if (name.endsWith('.bias')) return 0;
  if (/cls_token|position_embeddings/.test(name)) return 0.02;
  // Rows of unit length: visual tokens are aligned with them by dot product.
  if (name.endsWith('embed_tokens.weight')) return 1 / Math.sqrt(shape[1]);
  if (name.endsWith('lm_head.weight')) return 0.02;
  const inputs = shape.slice(1).reduce((product, dim) => product * dim, 1);
  const gain = 0.8 / Math.sqrt(inputs);
  const branch = /(projection_layer|mlp\.fc2|o_proj|down_proj)\.weight$/.test(name);
  const depth = name.startsWith('vision_tower') ? config.vision.numLayers : config.language.numLayers;
  return branch ? gain / Math.sqrt(2 * depth) : gain;
}

/** Box–Muller. */
function fillNormal(values: Float32Array, deviation: number, random: { next(): number }): void {
  for (let i = 0; i < values.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random.next()));
    const angle = 2 * Math.PI * random.next();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}
