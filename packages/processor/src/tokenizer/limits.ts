/** Vocabulary entries. The largest published vocabularies have 256 k; a million bounds the tables at ~200 MB. */
export const MAX_VOCABULARY = 1_048_576;
/** Characters of one token. Qwen2's longest is 128 blanks; a long token only costs memory. */
export const MAX_TOKEN_LENGTH = 4096;
/** Added tokens. They are matched by one alternation whose cost grows with their number; Qwen2 has 31. */
export const MAX_ADDED_TOKENS = 4096;
/** UTF-16 units of one text given to `encode`: dozens of times any context; one piece that long needs ~120 MB of work space. */
export const MAX_TEXT_LENGTH = 1_048_576;
