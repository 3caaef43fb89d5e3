/** Pictures drawn by the project's own generator, in public/samples. */
export interface Sample {
  readonly file: string;
  /** For people who do not see the picture. */
  readonly description: string;
  readonly questions: readonly string[];
}

export const SAMPLES: readonly Sample[] = [];

/** Asked without a picture. */
export const TEXT_QUESTIONS: readonly string[] = [];
