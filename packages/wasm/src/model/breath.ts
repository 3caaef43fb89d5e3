/** Between layers the thread listens for messages, an abort among them, this often. */
const MILLISECONDS = 8;

/** Lets other tasks run where enough time has passed. One for each run. */
export class Breath {
  #last = performance.now();

  /** @throws the signal's reason */
  async take(signal: AbortSignal | undefined): Promise<void> {
    if (performance.now() - this.#last < MILLISECONDS) return;
    await nextTask();
    this.#last = performance.now();
    signal?.throwIfAborted();
  }
}

/** A message to oneself: timers are slowed down to 4 ms, and to a second in pages that nobody sees. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
