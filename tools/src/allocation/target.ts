import { SpeedqError } from '@speedq/format';

/** What bits are spent towards: mean bits of a linear's weight, or bytes of all files beside the manifest. */
export type Target =
  | { readonly kind: 'bits'; readonly bitsPerWeight: number }
  | { readonly kind: 'size'; readonly bytes: number };

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};

/** Of --target-bpw and --target-size; undefined where neither is given. Throws `invalid-argument`. */
export function parseTarget({
  targetBpw,
  targetSize,
}: {
  readonly targetBpw?: number;
  readonly targetSize?: string;
}): Target | undefined {
  if (targetBpw !== undefined && targetSize !== undefined) {
    throw new SpeedqError('invalid-argument', '--target-bpw and --target-size exclude each other; give one.');
  }
  if (targetBpw !== undefined) return { kind: 'bits', bitsPerWeight: targetBpw };
  if (targetSize === undefined) return undefined;
  const match = /^(\d+(?:\.\d+)?) ?(\w*)$/.exec(targetSize);
  if (match === null || !Object.hasOwn(UNITS, match[2])) {
    throw new SpeedqError(
      'invalid-argument',
      `--target-size is ${JSON.stringify(targetSize)}; expected a size such as 315MiB, 300MB or 3500000.`,
    );
  }
  return { kind: 'size', bytes: Math.floor(Number(match[1]) * UNITS[match[2]]) };
}

/** For the name of the recipe that is written. */
export function targetLabel(target: Target): string {
  return target.kind === 'bits' ? `${target.bitsPerWeight}bpw` : `${target.bytes}-bytes`;
}
