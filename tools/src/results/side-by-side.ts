import type { Job } from './plan.ts';

/** Each chain in order, `workers` chains at a time. A failure lets the others finish, then is thrown. */
export async function sideBySide(
  chains: readonly (readonly Job[])[],
  workers: number,
  work: (job: Job) => Promise<void>,
): Promise<void> {
  const waiting = [...chains];
  const failures: unknown[] = [];
  const takeChains = async (): Promise<void> => {
    for (let chain = waiting.shift(); chain !== undefined; chain = waiting.shift()) {
      try {
        for (const job of chain) await work(job);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: workers }, takeChains));
  if (failures.length > 0) throw failures[0];
}
