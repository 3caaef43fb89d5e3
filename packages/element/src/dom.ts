type Properties<K extends keyof HTMLElementTagNameMap> = Partial<
  Omit<HTMLElementTagNameMap[K], 'part' | 'children' | 'style' | 'attributes'>
> & { readonly part?: string; readonly attributes?: Readonly<Record<string, string>> };

/** An element with properties and children. Never parses HTML: pages with Trusted Types need allow nothing. */
export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  { part, attributes = {}, ...properties }: Properties<K> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const created = document.createElement(name);
  if (part !== undefined) created.setAttribute('part', part);
  for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
  Object.assign(created, properties);
  created.append(...children);
  return created;
}
