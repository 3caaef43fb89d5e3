import { elementCount, parameterInventory, type InternVLConfig } from '@speedq/model';

export interface ParameterSlot {
  readonly name: string;
  readonly shape: readonly number[];
  /** Position and length in the flat array, in elements. */
  readonly offset: number;
  readonly size: number;
  /** Whether weight decay applies: matrices yes; norms, biases, layer scales and positions no. */
  readonly decay: boolean;
}

/** All parameters in one flat array, so that workers share them and the optimiser walks them once. */
export interface ParameterLayout {
  readonly slots: readonly ParameterSlot[];
  readonly total: number;
}

/** Classification heads that help the encoder learn and are thrown away with the run. */
export interface AuxiliaryHeads {
  readonly kinds: number;
  readonly colours: number;
}

/** Begins the names of parameters that are training aids and in no checkpoint. */
export const AUXILIARY_PREFIX = 'aux.';
export const PATCH_KIND = `${AUXILIARY_PREFIX}patch_kind`;
export const PATCH_COLOUR = `${AUXILIARY_PREFIX}patch_colour`;

export function parameterLayout(config: InternVLConfig, heads?: AuxiliaryHeads): ParameterLayout {
  const hidden = config.vision.hiddenSize;
  const auxiliary = heads
    ? [
        { name: `${PATCH_KIND}.weight`, shape: [heads.kinds, hidden], decay: true },
        { name: `${PATCH_KIND}.bias`, shape: [heads.kinds], decay: false },
        { name: `${PATCH_COLOUR}.weight`, shape: [heads.colours, hidden], decay: true },
        { name: `${PATCH_COLOUR}.bias`, shape: [heads.colours], decay: false },
      ]
    : [];
  const model = parameterInventory(config).map(({ name, shape, role }) => ({
    name,
    shape,
    decay: role === 'linear' || role === 'conv',
  }));
  let total = 0;
  const slots = [...model, ...auxiliary].map((parameter) => {
    const size = elementCount(parameter.shape);
    const slot = { ...parameter, offset: total, size };
    total += size;
    return slot;
  });
  return { slots, total };
}

/** Views of a flat array by parameter name. */
export function parameterViews(layout: ParameterLayout, flat: Float32Array): Map<string, Float32Array> {
  return new Map(layout.slots.map(({ name, offset, size }) => [name, flat.subarray(offset, offset + size)]));
}
