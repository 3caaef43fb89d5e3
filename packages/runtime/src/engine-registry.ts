import type { EngineClient, OpenOptions } from './engine-client.ts';
import type { EngineInfo, ProgressMessage } from './protocol.ts';

/** A share in an engine. The last one released ends its worker. */
export interface EngineLease {
  readonly client: EngineClient;
  readonly opened: Promise<EngineInfo>;
  /** Also reports the latest progress at once. Returns how to stop. */
  onProgress(listener: (progress: ProgressMessage) => void): () => void;
  share(): EngineLease;
  release(): void;
}

interface SharedEngine {
  readonly client: EngineClient;
  readonly opened: Promise<EngineInfo>;
  state: 'opening' | 'open';
  readonly listeners: Set<(progress: ProgressMessage) => void>;
  latest: ProgressMessage | undefined;
  leases: number;
}

const engines = new Map<string, SharedEngine>();

/** Whether a session of this page loads the model, or has it loaded, with whatever options. */
export function engineState(url: string): 'opening' | 'open' | undefined {
  const states = [...engines].flatMap(([key, { state }]) => (urlOf(key) === url ? [state] : []));
  return states.includes('open') ? 'open' : states[0];
}

function urlOf(key: string): string {
  return (JSON.parse(key) as [string])[0];
}

/** The engine for these options: the one that is open or opening, or a new one. */
export function sharedEngine(options: OpenOptions, createClient: () => EngineClient): EngineLease {
  const { url, storage, contextWindow, maxMemoryBytes, keyValueFormat, engine: choice } = options;
  const key = JSON.stringify([url, storage, contextWindow, maxMemoryBytes, keyValueFormat, choice]);
  let engine = engines.get(key);
  if (!engine) {
    const opening = openEngine(options, createClient());
    engines.set(key, opening);
    // Whoever creates a session after the worker died gets a new one.
    opening.client.ended.catch(() => {
      if (engines.get(key) === opening) engines.delete(key);
    });
    engine = opening;
  }
  return lease(key, engine);
}

function openEngine(options: OpenOptions, client: EngineClient): SharedEngine {
  const listeners: SharedEngine['listeners'] = new Set();
  const engine: SharedEngine = {
    client,
    listeners,
    latest: undefined,
    leases: 0,
    state: 'opening',
    opened: client.open(options, (progress) => {
      engine.latest = progress;
      for (const listener of listeners) listener(progress);
    }),
  };
  // Each lease's owner awaits it; one that was aborted meanwhile does not.
  engine.opened.then(
    () => (engine.state = 'open'),
    () => {},
  );
  return engine;
}

function lease(key: string, engine: SharedEngine): EngineLease {
  engine.leases++;
  let released = false;
  return {
    client: engine.client,
    opened: engine.opened,
    onProgress(listener) {
      engine.listeners.add(listener);
      if (engine.latest) listener(engine.latest);
      return () => engine.listeners.delete(listener);
    },
    share: () => lease(key, engine),
    release() {
      if (released) return;
      released = true;
      if (--engine.leases > 0) return;
      if (engines.get(key) === engine) engines.delete(key);
      engine.client.terminate();
    },
  };
}
