import type { Tokenizer } from '@speedq/processor';
import { colours, patchClassNames } from '../data/labels.ts';
import type { TrainingSample } from '../data/types.ts';

const ROW_WORDS = ['top', 'middle', 'bottom'];
const COLUMN_WORDS = ['left', 'centre', 'right'];
const OBJECT_SHARE = 0.5;
const COLOUR_SHARE = 0.25;
const PLACE_SHARE = 0.25;

/**
 * The words a visual token is asked to name while the projector is aligned with the language model's
 * embeddings: object, colour, row and column of what its patches show.
 */
export class FeatureWords {
  /** Token ids of the words, without repeats. */
  readonly ids: readonly number[];
  private readonly kinds: readonly number[];
  private readonly colours: readonly number[];
  private readonly rows: readonly number[];
  private readonly columns: readonly number[];

  constructor(tokenizer: Tokenizer) {
    const ids: number[] = [];
    const column = (word: string, leadingSpace = true) => {
      // Words stand inside sentences, so with their space; only the first token of a longer name.
      const [id] = tokenizer.encode(leadingSpace ? ` ${word}` : word);
      if (!ids.includes(id)) ids.push(id);
      return ids.indexOf(id);
    };
    this.kinds = patchClassNames.map((name) => (name === '' ? -1 : column(name, name.length > 1)));
    this.colours = [-1, ...colours.map(({ name }) => column(name))];
    this.rows = ROW_WORDS.map((word) => column(word));
    this.columns = COLUMN_WORDS.map((word) => column(word));
    this.ids = ids;
  }

  /** Writes a distribution over the words for each of the picture's visual tokens: [tokens, words]. */
  describe(sample: TrainingSample, target: Float32Array): void {
    const grid = Math.sqrt(sample.patchKinds.length);
    const half = grid / 2;
    const width = this.ids.length;
    target.fill(0);
    for (let row = 0; row < half; row++) {
      for (let column = 0; column < half; column++) {
        const at = (row * half + column) * width;
        const shown = [0, 1, grid, grid + 1].map((offset) => 2 * row * grid + 2 * column + offset);
        const kinds = shown.map((patch) => this.kinds[sample.patchKinds[patch]]).filter((word) => word >= 0);
        const hues = shown
          .map((patch) => this.colours[Math.max(sample.patchColours[patch], 0)])
          .filter((word) => word >= 0);
        for (const word of kinds) target[at + word] += OBJECT_SHARE / kinds.length;
        for (const word of hues) target[at + word] += COLOUR_SHARE / hues.length;
        target[at + this.rows[Math.floor((row * 3) / half)]] += PLACE_SHARE / 2;
        target[at + this.columns[Math.floor((column * 3) / half)]] += PLACE_SHARE / 2;
        let sum = 0;
        for (let word = 0; word < width; word++) sum += target[at + word];
        for (let word = 0; word < width; word++) target[at + word] /= sum;
      }
    }
  }
}
