interface Request {
  readonly mode: LockMode;
  readonly begin: () => void;
}

interface Queue {
  held: LockMode[];
  waiting: Request[];
}

interface FakeLocks {
  /** Locks that somebody has. */
  readonly held: number;
  /** What a browser does with the locks of a worker that ended. */
  drop(prefix: string): void;
}

/** Web Locks in one process: shared and exclusive ones, in the order of their requests, and aborting. */
export function fakeLocks(): Pick<LockManager, 'request'> & FakeLocks {
  const queues = new Map<string, Queue>();
  const advance = (queue: Queue): void => {
    while (queue.waiting.length > 0) {
      const [{ mode, begin }] = queue.waiting;
      const free =
        queue.held.length === 0 || (mode === 'shared' && queue.held.every((held) => held === 'shared'));
      if (!free) return;
      queue.waiting.shift();
      queue.held.push(mode);
      begin();
    }
  };
  const request = async (name: string, ...rest: unknown[]): Promise<unknown> => {
    const callback = rest.at(-1) as (lock: unknown) => unknown;
    const { mode = 'exclusive', signal } = (rest.length > 1 ? rest[0] : {}) as LockOptions;
    signal?.throwIfAborted();
    const queue = queues.get(name) ?? { held: [], waiting: [] };
    queues.set(name, queue);
    await new Promise<void>((resolve, reject) => {
      const waiting = { mode, begin: resolve };
      queue.waiting.push(waiting);
      signal?.addEventListener('abort', () => {
        if (!queue.waiting.includes(waiting)) return;
        queue.waiting = queue.waiting.filter((other) => other !== waiting);
        reject(signal.reason as Error);
        advance(queue);
      });
      advance(queue);
    });
    try {
      return await callback({ name, mode });
    } finally {
      const at = queue.held.indexOf(mode);
      if (at >= 0) queue.held.splice(at, 1);
      advance(queue);
    }
  };
  return {
    request,
    drop(prefix) {
      for (const [name, queue] of queues) {
        if (!name.startsWith(prefix)) continue;
        queue.held = [];
        advance(queue);
      }
    },
    get held() {
      return [...queues.values()].reduce((sum, { held }) => sum + held.length, 0);
    },
  };
}
