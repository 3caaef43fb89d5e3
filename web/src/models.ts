import { CATALOGUE } from '@speedq/runtime/catalogue';

/** The packed models a person can choose. */
export interface ModelChoice {
  readonly id: string;
  readonly label: string;
  /** Address of the model's folder, relative to the page. */
  readonly address: string;
}

/** Served with the app, in public/models. */
export const MODELS: readonly ModelChoice[] = CATALOGUE.flatMap(({ id, label, path }) =>
  path === undefined ? [] : [{ id, label, address: `./${path}` }],
);

/** Ids are folder names; anything else in an address is ignored. */
export function isModelId(id: string): boolean {
  return /^[\w.-]{1,80}$/.test(id) && !/^\.+$/.test(id);
}

/** `?model=` names a folder in models/: one of ours, or the one `speedq serve MODEL` offers. */
export function chosenModel(search: string, added: readonly ModelChoice[] = []): ModelChoice {
  const id = new URLSearchParams(search).get('model');
  if (id === null || !isModelId(id)) return MODELS[0];
  return [...MODELS, ...added].find((model) => model.id === id) ?? servedModel(id);
}

function servedModel(id: string): ModelChoice {
  return { id, label: id, address: `./models/${id}/` };
}

export function isPico({ id }: ModelChoice): boolean {
  return id.startsWith('pico-');
}
