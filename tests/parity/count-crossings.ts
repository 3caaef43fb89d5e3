import type { OrtModule } from '@speedq/onnx';

/** Bytes of tensors between the host and a device. */
export interface Crossings {
  readonly up: number;
  readonly down: number;
  readonly largestUp: number;
}

type Tensors = Readonly<Record<string, { readonly location: string; readonly size: number }>>;

/** Elements of all types that training feeds have 4 bytes. */
const BYTES = 4;

/** An onnxruntime that counts what its sessions are given and give on the host. */
export function countCrossings(ort: OrtModule): {
  readonly ort: OrtModule;
  reset(): void;
  counted(): Crossings;
} {
  let counts = { up: 0, down: 0, largestUp: 0 };
  const sizes = (tensors: Tensors) =>
    Object.values(tensors).flatMap(({ location, size }) => (location === 'cpu' ? [BYTES * size] : []));
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const create = async (...args: Parameters<OrtModule['InferenceSession']['create']>) => {
    const session = await ort.InferenceSession.create(...args);
    const run = session.run.bind(session);
    session.run = async (feeds: Tensors, ...rest: unknown[]) => {
      const results = await (run as (...all: unknown[]) => Promise<Tensors>)(feeds, ...rest);
      const up = sizes(feeds);
      counts = {
        up: counts.up + sum(up),
        down: counts.down + sum(sizes(results)),
        largestUp: Math.max(counts.largestUp, ...up),
      };
      return results as Awaited<ReturnType<typeof run>>;
    };
    return session;
  };
  return {
    ort: { ...ort, InferenceSession: { ...ort.InferenceSession, create } } as OrtModule,
    reset: () => void (counts = { up: 0, down: 0, largestUp: 0 }),
    counted: () => counts,
  };
}
