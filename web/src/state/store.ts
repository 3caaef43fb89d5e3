import { useEffect, useReducer } from 'preact/hooks';

/** Something the page shows: an immutable state and whoever wants to know of the next one. */
export class Store<S extends object> {
  private current: S;
  private readonly listeners = new Set<() => void>();

  constructor(initial: S) {
    this.current = initial;
  }

  get state(): S {
    return this.current;
  }

  /** Returns how to stop listening. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  protected update(change: Partial<S>): void {
    this.current = { ...this.current, ...change };
    for (const listener of this.listeners) listener();
  }
}

/** The state of `store`; the component is drawn again when it changes. */
export function useStore<S extends object>(store: Store<S>): S {
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const drawn = store.state;
  useEffect(() => {
    const stop = store.subscribe(() => redraw(0));
    // It may have changed between drawing and listening.
    if (store.state !== drawn) redraw(0);
    return stop;
  }, [store]);
  return drawn;
}
