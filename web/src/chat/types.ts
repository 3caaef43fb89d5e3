/** A conversation is a tree: editing a question or asking for another answer adds a branch and loses nothing. */
export interface Chat {
  readonly id: string;
  readonly title: string;
  /** A person's own title is not replaced by one made from the first question. */
  readonly renamed: boolean;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** The last message of the branch that is shown; null in an empty chat. */
  readonly leafId: string | null;
}

export interface Message {
  readonly id: string;
  readonly chatId: string;
  readonly parentId: string | null;
  readonly role: 'user' | 'assistant';
  readonly text: string;
  /** Ids of the pictures a question is about; answers have none. */
  readonly pictures: readonly string[];
  /** Milliseconds since 1970, by the clock of the device that wrote it. */
  readonly createdAt: number;
  /** What is known about an answer; questions have none. */
  readonly answer?: AnswerFacts;
}

export interface AnswerFacts {
  /** `cut`: the longest length that the settings allow was reached. */
  readonly status: 'answering' | 'done' | 'cut' | 'stopped' | 'failed';
  readonly model: string;
  readonly problem?: Problem;
  readonly tokensPerSecond?: number;
  readonly firstTokenSeconds?: number;
  /** Tokens of the conversation, this answer included, and the most it may have. */
  readonly contextUsage?: number;
  readonly contextWindow?: number;
}

export interface Problem {
  /** A SpeedqError's code, or 'internal'. */
  readonly code: string;
  readonly message: string;
}

/** Kept once, however many messages show it: the id is the SHA-256 of the file. */
export interface Picture {
  readonly id: string;
  readonly name: string;
  readonly blob: Blob;
}
