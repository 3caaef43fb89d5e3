import type { Need } from './program.ts';

/** Features of devices that some variants use: ask for those the adapter has. None is needed. */
const OPTIONAL_FEATURES = ['subgroups', 'shader-f16', 'timestamp-query'] as const;

/** The optional features an adapter has, for `requestDevice`. */
export function optionalFeatures(adapter: Pick<GPUAdapter, 'features'>): GPUFeatureName[] {
  return OPTIONAL_FEATURES.filter((feature) => adapter.features.has(feature));
}

/** Whether programs with these needs run on a device, whose `GPU` knows these extensions of WGSL. */
export function offers(
  device: Pick<GPUDevice, 'features'>,
  languageFeatures: Pick<ReadonlySet<string>, 'has'>,
  needs: readonly Need[],
): boolean {
  return needs.every((need) => device.features.has(need) || languageFeatures.has(need));
}
