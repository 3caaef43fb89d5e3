import { invalidTokenizer, isRecord, show } from './tokenizer-json.ts';
import { MAX_VOCABULARY } from './limits.ts';
import { QWEN2_PATTERN } from './pre-tokenize.ts';

/** An entry of `added_tokens` as written to tokenizer.json. */
export interface AddedTokenJson {
  readonly id: number;
  readonly content: string;
  readonly single_word: false;
  readonly lstrip: false;
  readonly rstrip: false;
  readonly normalized: false;
  readonly special: boolean;
}

/** The tokenizer.json this project writes; Python `tokenizers` and transformers read it. */
export interface TokenizerJson {
  readonly version: '1.0';
  readonly truncation: null;
  readonly padding: null;
  readonly added_tokens: readonly AddedTokenJson[];
  readonly normalizer: { readonly type: 'NFC' };
  readonly pre_tokenizer: unknown;
  readonly post_processor: unknown;
  readonly decoder: unknown;
  readonly model: {
    readonly type: 'BPE';
    readonly dropout: null;
    readonly unk_token: null;
    readonly continuing_subword_prefix: '';
    readonly end_of_word_suffix: '';
    readonly fuse_unk: false;
    readonly byte_fallback: false;
    readonly ignore_merges: false;
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: readonly (readonly [string, string])[];
  };
}

/** Wraps vocabulary, merges and added tokens into a tokenizer.json of the Qwen2 kind. */
export function qwen2TokenizerJson(
  vocab: Readonly<Record<string, number>>,
  merges: readonly (readonly [string, string])[],
  addedTokens: readonly { readonly id: number; readonly content: string; readonly special: boolean }[],
): TokenizerJson {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: false };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens.map(({ id, content, special }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special,
    })),
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: QWEN2_PATTERN }, behavior: 'Isolated', invert: false },
        byteLevel,
      ],
    },
    post_processor: byteLevel,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  };
}

/** added_tokens.json holds no flags; of Qwen2's added tokens these are the ones that are not special. */
const plainAddedTokens = new Set([
  '<tool_call>',
  '</tool_call>',
  '<|fim_prefix|>',
  '<|fim_middle|>',
  '<|fim_suffix|>',
  '<|fim_pad|>',
  '<|repo_name|>',
  '<|file_sep|>',
]);

function readMergesText(text: string): (readonly [string, string])[] {
  const lines = text
    .split('\n', MAX_VOCABULARY + 2)
    .map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  if (lines.length === MAX_VOCABULARY + 2) {
    throw invalidTokenizer(`merges.txt has more lines than the ${MAX_VOCABULARY} merges that are allowed`);
  }
  // Only the first line is a header: later ones may be merges of the character '#'.
  if (lines[0].startsWith('#version')) lines.shift();
  return lines
    .filter((line) => line !== '')
    .map((line, index) => {
      const parts = line.split(' ', 3);
      if (parts.length !== 2) throw invalidTokenizer(`merges.txt: merge ${index} is ${show(line)}`);
      return [parts[0], parts[1]] as const;
    });
}

/**
 * Builds what tokenizer.json would hold from the files of an original-layout folder.
 * @param vocab parsed vocab.json
 * @param merges text of merges.txt
 * @param addedTokens parsed added_tokens.json (content → id), if there is one
 * @param tokenizerConfig parsed tokenizer_config.json; its `added_tokens_decoder` gives the special flags
 * @throws SpeedqError 'invalid-tokenizer'
 */
export function synthesizeTokenizerJson(
  vocab: unknown,
  merges: string,
  addedTokens?: unknown,
  tokenizerConfig?: unknown,
): TokenizerJson {
  if (!isRecord(vocab)) throw invalidTokenizer(`vocab.json must be an object, got ${show(vocab)}`);
  const byContent = new Map<string, { id: number; content: string; special: boolean }>();
  if (addedTokens !== undefined) {
    if (!isRecord(addedTokens)) {
      throw invalidTokenizer(`added_tokens.json must be an object, got ${show(addedTokens)}`);
    }
    for (const [content, id] of Object.entries(addedTokens)) {
      // The id is checked with everything else when the result is opened.
      byContent.set(content, { id: id as number, content, special: !plainAddedTokens.has(content) });
    }
  }
  const decoder = isRecord(tokenizerConfig) ? tokenizerConfig.added_tokens_decoder : undefined;
  if (isRecord(decoder)) {
    for (const [key, entry] of Object.entries(decoder)) {
      const id = Number(key);
      if (!isRecord(entry) || typeof entry.content !== 'string') {
        throw invalidTokenizer(`tokenizer_config.json: added_tokens_decoder[${show(key)}] is ${show(entry)}`);
      }
      const known = byContent.get(entry.content);
      if (known && known.id !== id) {
        throw invalidTokenizer(
          `${show(entry.content)} has id ${known.id} in added_tokens.json, ${id} in tokenizer_config.json`,
        );
      }
      for (const flag of ['lstrip', 'rstrip', 'single_word']) {
        if (entry[flag] === true) {
          throw invalidTokenizer(`tokenizer_config.json: ${show(entry.content)} has ${flag}, not supported`);
        }
      }
      byContent.set(entry.content, { id, content: entry.content, special: entry.special === true });
    }
  }
  const added = [...byContent.values()].sort((a, b) => a.id - b.id);
  return qwen2TokenizerJson(vocab as Record<string, number>, readMergesText(merges), added);
}
