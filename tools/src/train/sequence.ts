import { CONTROL_TOKENS, type Tokenizer } from '@speedq/processor';
import type { Question, QuestionType } from '../data/types.ts';
import type { Gaze, GazeName } from './gaze.ts';

/** A sequence that packs a picture and several independent conversations about it. */
export interface PackedSequence {
  readonly ids: Int32Array;
  /** Position of each token as inference would number it: every segment follows the picture directly. */
  readonly positions: Int32Array;
  /** 0 = the picture; a token sees its own segment, and the picture if `seesPicture` of its segment. */
  readonly segments: Int32Array;
  readonly seesPicture: readonly boolean[];
  /** Positions whose next token is supervised, that token, and its weight. */
  readonly supervised: SupervisedPosition[];
  /** Where heads are shown what to look at in the picture. */
  readonly gazes: GazePosition[];
  /** Tokens used of the whole length; the rest is padding. */
  readonly used: number;
}

export interface SupervisedPosition {
  readonly position: number;
  readonly target: number;
  readonly weight: number;
  /** What is asked there; all positions of one answer share the object. */
  readonly question: Question;
}

export interface GazePosition {
  readonly name: GazeName;
  readonly position: number;
  readonly visualTokens: readonly number[];
}

/** What to look at while a question is read and while its answer is given. */
export interface GazesOf {
  readonly inQuestion: (question: Question) => readonly Gaze[];
  readonly inAnswer: (question: Question) => readonly Gaze[];
}

export type QuestionWeights = Readonly<Partial<Record<QuestionType, number>>>;

/** What a sequence is made of. */
export interface Content {
  /** Tokens in all. */
  readonly length: number;
  readonly withPicture: boolean;
  /** About the picture: lists of turns, all of whose answers are supervised. */
  readonly conversations: readonly (readonly Question[])[];
  /** Questions without a picture, after the conversations or before them. */
  readonly texts: readonly Question[];
  readonly textsFirst?: boolean;
  readonly weights: QuestionWeights;
  readonly gazesOf?: GazesOf;
}

/** Builds packed sequences in the model's chat format (ChatML, no system prompt). */
export class SequencePacker {
  private readonly messageEnd: number;
  private readonly userHeader: readonly number[];
  private readonly answerHeader: readonly number[];
  private readonly newline: readonly number[];
  private readonly picturePrefix: readonly number[];

  constructor(
    private readonly tokenizer: Tokenizer,
    tokensPerTile: number,
    private readonly imageTokenId: number,
  ) {
    const control = (token: string) => {
      const id = tokenizer.tokenToId(token);
      if (id === undefined) throw new Error(`The tokenizer lacks ${token}.`);
      return id;
    };
    const start = control(CONTROL_TOKENS.messageStart);
    this.messageEnd = control(CONTROL_TOKENS.messageEnd);
    this.newline = tokenizer.encode('\n');
    this.userHeader = [start, ...tokenizer.encode('user\n')];
    this.answerHeader = [this.messageEnd, ...this.newline, start, ...tokenizer.encode('assistant\n')];
    this.picturePrefix = [
      ...this.userHeader,
      control(CONTROL_TOKENS.imageStart),
      ...new Array<number>(tokensPerTile).fill(imageTokenId),
      control(CONTROL_TOKENS.imageEnd),
      ...this.newline,
    ];
  }

  /** Where the features of the picture go in a sequence that has one. */
  get pictureStart(): number {
    return this.picturePrefix.indexOf(this.imageTokenId);
  }

  /** As much of the content as fits into its length. */
  pack({ length, withPicture, conversations, texts, textsFirst, weights, gazesOf }: Content): PackedSequence {
    const ids = new Int32Array(length);
    const positions = new Int32Array(length);
    const segments = new Int32Array(length).fill(-1);
    const seesPicture = [true];
    const supervised: PackedSequence['supervised'] = [];
    const gazes: PackedSequence['gazes'] = [];
    let used = 0;
    const prefix = withPicture ? this.picturePrefix : [];
    for (const id of prefix) {
      ids[used] = id;
      positions[used] = used;
      segments[used++] = 0;
    }
    const append = (tokens: readonly SupervisedToken[], start: number, sees: boolean) => {
      if (used + tokens.length > length) return;
      const segment = seesPicture.push(sees) - 1;
      tokens.forEach(({ id, weight, question, looks }, i) => {
        // Like the loss, what an answer is read off belongs to the position before its token.
        for (const { name, visualTokens } of looks ?? [])
          gazes.push({ name, position: question ? used - 1 : used, visualTokens });
        if (question) supervised.push({ position: used - 1, target: id, weight, question });
        ids[used] = id;
        positions[used] = start + i;
        segments[used++] = segment;
      });
    };
    const appendTexts = () => {
      for (const question of texts) append(this.segment([question], false, weights), 0, false);
    };
    if (textsFirst) appendTexts();
    if (withPicture)
      for (const turns of conversations)
        append(this.segment(turns, true, weights, gazesOf), prefix.length, true);
    if (!textsFirst) appendTexts();
    return { ids, positions, segments, seesPicture, supervised, gazes, used };
  }

  private segment(
    turns: readonly Question[],
    afterPicture: boolean,
    weights: QuestionWeights,
    gazesOf?: GazesOf,
  ): SupervisedToken[] {
    const tokens: SupervisedToken[] = [];
    const plain = (ids: readonly number[]) => ids.forEach((id) => tokens.push({ id, weight: 0 }));
    turns.forEach((asked, turn) => {
      if (turn > 0) plain(this.newline);
      if (turn > 0 || !afterPicture) plain(this.userHeader);
      const looking = (gazes: readonly Gaze[] | undefined, index: number) =>
        gazes?.filter(({ token }) => token === index);
      const gazesInQuestion = gazesOf?.inQuestion(asked);
      this.tokenizer
        .encode(asked.question)
        .forEach((id, i) => tokens.push({ id, weight: 0, looks: looking(gazesInQuestion, i) }));
      plain(this.answerHeader);
      const weight = weights[asked.type] ?? 1;
      const gazesInAnswer = gazesOf?.inAnswer(asked);
      [...this.tokenizer.encode(asked.answer), this.messageEnd].forEach((id, i) =>
        tokens.push({ id, weight, question: asked, looks: looking(gazesInAnswer, i) }),
      );
    });
    return tokens;
  }
}

interface SupervisedToken {
  readonly id: number;
  readonly weight: number;
  /** Set on tokens of an answer. */
  readonly question?: Question;
  readonly looks?: readonly Gaze[];
}
