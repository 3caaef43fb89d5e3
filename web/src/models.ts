/** The packed models this app is served with, in public/models. */
export interface ModelChoice {
  readonly id: string;
  readonly label: string;
}

export const MODELS: readonly ModelChoice[] = [
  { id: 'pico-2bit', label: 'pico 2-bit' },
  { id: 'pico-4bit', label: 'pico 4-bit' },
];

/** `?model=` names a folder in models/: one of ours, or the one `speedq serve MODEL` offers. */
export function chosenModel(search: string): ModelChoice {
  const id = new URLSearchParams(search).get('model');
  if (id === null || !/^[\w.-]+$/.test(id)) return MODELS[0];
  return MODELS.find((model) => model.id === id) ?? { id, label: id };
}

export function isPico({ id }: ModelChoice): boolean {
  return id.startsWith('pico-');
}

export function modelAddress({ id }: ModelChoice): string {
  return `./models/${id}/`;
}
