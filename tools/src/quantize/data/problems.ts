import { SpeedqError } from '@speedq/format';

/** What can be wrong with a conversation. */
export type ProblemKind =
  | 'malformed record'
  | 'missing picture'
  | 'unreadable picture'
  | 'placeholder mismatch'
  | 'overlong'
  | 'no answer'
  | 'missing video'
  | 'unsupported video';

/** A conversation that cannot be trained on, and why. */
export class DataProblem extends Error {
  constructor(
    readonly kind: ProblemKind,
    message: string,
  ) {
    super(message);
    this.name = 'DataProblem';
  }
}

/** A large set always has a few bad records; more than this share means that something is wrong with it. */
const TOLERATED_SHARE = 0.05;
const EXAMPLES = 3;

/** Counts what is left out of a training set, and says when it is too much. */
export class Problems {
  private readonly examples: string[] = [];
  private readonly counted = new Map<ProblemKind, number>();

  add(where: string, { kind, message }: DataProblem): void {
    this.counted.set(kind, (this.counted.get(kind) ?? 0) + 1);
    if (this.examples.length < EXAMPLES) this.examples.push(`${where}: ${kind}: ${message}`);
  }

  get total(): number {
    return [...this.counted.values()].reduce((sum, count) => sum + count, 0);
  }

  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.counted);
  }

  /** "2 conversations left out (1 missing picture, 1 overlong); data.jsonl:7: …", empty where all is well. */
  describe(): string {
    if (this.total === 0) return '';
    const kinds = [...this.counted].map(([kind, count]) => `${count} ${kind}`).join(', ');
    const more = this.total > this.examples.length ? ' …' : '';
    return `${this.total} conversations left out (${kinds}): ${this.examples.join(' ')}${more}`;
  }

  /** Throws `invalid-data` where nothing is left or more than a twentieth of what was read is bad. */
  requireFew(read: number): void {
    if (read - this.total > 0 && this.total <= read * TOLERATED_SHARE) return;
    throw new SpeedqError(
      'invalid-data',
      read === 0
        ? 'The training data holds no conversations.'
        : `Of ${read} conversations read, ${this.describe()} At most ${100 * TOLERATED_SHARE} % are left out silently: ` +
            'mend the data, or check the root in its meta JSON.',
    );
  }
}
