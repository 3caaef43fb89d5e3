/** `workers` tasks at a time, in order. A failure lets the others finish, then is thrown. */
export async function sideBySide(tasks: readonly (() => Promise<void>)[], workers: number): Promise<void> {
  const waiting = [...tasks];
  const failures: unknown[] = [];
  const takeTasks = async (): Promise<void> => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
      try {
        await task();
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: workers }, takeTasks));
  if (failures.length > 0) throw failures[0];
}
