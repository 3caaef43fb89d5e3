import { SpeedqError } from '@speedq/format';
import { byteToChar } from './byte-alphabet.ts';
import { CONTROL_TOKENS } from './control-tokens.ts';
import { MAX_ADDED_TOKENS, MAX_TOKEN_LENGTH, MAX_VOCABULARY } from './limits.ts';
import type { MergeTable } from './merge.ts';
import { QWEN2_PATTERN } from './pre-tokenize.ts';

/** One entry of `added_tokens`: matched as a whole before the text is cut into pieces. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Structure or markup rather than text: skipped by `decode(…, { skipSpecial: true })`. */
  readonly special: boolean;
  /** Matched in the NFC form of the text rather than in the text as given. */
  readonly normalized: boolean;
}

/** A checked tokenizer.json. */
export interface TokenizerTables {
  readonly vocabulary: ReadonlyMap<string, number>;
  /** id → token string; holes are undefined. Added tokens included. */
  readonly tokens: readonly (string | undefined)[];
  readonly merges: MergeTable;
  readonly addedTokens: readonly AddedToken[];
  readonly normalizeToNfc: boolean;
}

export function invalidTokenizer(what: string, cause?: unknown): SpeedqError {
  return new SpeedqError(
    'invalid-tokenizer',
    `The tokenizer cannot be used: ${what}. Supported are byte-level BPE tokenizers of the Qwen2 kind; ` +
      'check that the folder holds the original, complete tokenizer files of an InternVL3 model.',
    { cause },
  );
}

/** Short rendering of an untrusted value for messages. */
export function show(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : (JSON.stringify(value) ?? String(value));
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}

type Fields = Readonly<Record<string, unknown>>;

export function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function record(value: unknown, name: string): Fields {
  if (!isRecord(value)) throw invalidTokenizer(`${name} must be an object, got ${show(value)}`);
  return value;
}

/** Refuses a setting this implementation would otherwise drop in silence. */
function only(name: string, value: unknown, allowed: readonly unknown[]): void {
  if (!allowed.includes(value ?? null)) {
    throw invalidTokenizer(`${name} is ${show(value)}, supported is ${allowed.map(show).join(' or ')}`);
  }
}

function readId(value: unknown, name: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value >= 2 * MAX_VOCABULARY) {
    throw invalidTokenizer(`the id of ${name} must be a whole number from 0, got ${show(value)}`);
  }
  return value;
}

function readVocabulary(value: unknown): Map<string, number> {
  const entries = Object.entries(record(value, 'model.vocab'));
  if (entries.length > MAX_VOCABULARY) {
    throw invalidTokenizer(`model.vocab has ${entries.length} entries, the limit is ${MAX_VOCABULARY}`);
  }
  const vocabulary = new Map<string, number>();
  for (const [token, id] of entries) {
    if (token.length === 0 || token.length > MAX_TOKEN_LENGTH) {
      throw invalidTokenizer(`a token of ${token.length} characters (allowed 1 to ${MAX_TOKEN_LENGTH})`);
    }
    vocabulary.set(token, readId(id, show(token)));
  }
  const missing = byteToChar.findIndex((char) => !vocabulary.has(char));
  if (missing >= 0) {
    throw invalidTokenizer(
      `model.vocab lacks byte ${missing} (${show(byteToChar[missing])}), so some text has no ids`,
    );
  }
  return vocabulary;
}

function readMerges(value: unknown, vocabulary: ReadonlyMap<string, number>): MergeTable {
  if (!Array.isArray(value)) throw invalidTokenizer(`model.merges must be a list, got ${show(value)}`);
  if (value.length > MAX_VOCABULARY) {
    throw invalidTokenizer(`model.merges has ${value.length} entries, the limit is ${MAX_VOCABULARY}`);
  }
  let stride = 0;
  for (const id of vocabulary.values()) stride = Math.max(stride, id + 1);
  const ranks = new Map<number, number>();
  const results = new Int32Array(value.length);
  for (const [rank, entry] of value.entries()) {
    // Both spellings are in use: "a b" up to tokenizers 0.19, ["a", "b"] since.
    const pair: readonly unknown[] =
      typeof entry === 'string' ? entry.split(' ', 3) : Array.isArray(entry) ? entry : [];
    const [first, second] = pair;
    if (pair.length !== 2 || typeof first !== 'string' || typeof second !== 'string') {
      throw invalidTokenizer(`merge ${rank} must be two tokens, got ${show(entry)}`);
    }
    const left = vocabulary.get(first);
    const right = vocabulary.get(second);
    const merged = vocabulary.get(first + second);
    if (left === undefined || right === undefined || merged === undefined) {
      throw invalidTokenizer(`merge ${rank} ${show(entry)} uses or makes a token that model.vocab lacks`);
    }
    ranks.set(left * stride + right, rank);
    results[rank] = merged;
  }
  return { ranks, results, stride };
}

function readAddedTokens(value: unknown): AddedToken[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalidTokenizer(`added_tokens must be a list, got ${show(value)}`);
  if (value.length > MAX_ADDED_TOKENS) {
    throw invalidTokenizer(`added_tokens has ${value.length} entries, the limit is ${MAX_ADDED_TOKENS}`);
  }
  const control = new Set<string>(Object.values(CONTROL_TOKENS));
  return value.map((item, index) => {
    const entry = record(item, `added_tokens[${index}]`);
    const { content, special } = entry;
    if (typeof content !== 'string' || content.length === 0 || content.length > MAX_TOKEN_LENGTH) {
      throw invalidTokenizer(`added_tokens[${index}].content must be a text, got ${show(content)}`);
    }
    for (const key of ['lstrip', 'rstrip', 'single_word']) {
      only(`${key} of added token ${show(content)}`, entry[key] ?? false, [false]);
    }
    return {
      id: readId(entry.id, show(content)),
      content,
      // Whatever the file says: these must never be matched in a person's text.
      special: special === true || control.has(content),
      normalized: entry.normalized === true,
    };
  });
}

function checkPreTokenizer(value: unknown): void {
  const sequence = record(value, 'pre_tokenizer');
  const steps = sequence.pretokenizers;
  if (sequence.type !== 'Sequence' || !Array.isArray(steps) || steps.length !== 2) {
    throw invalidTokenizer(`pre_tokenizer must be a Sequence of Split and ByteLevel, got ${show(value)}`);
  }
  const split = record(steps[0], 'pre_tokenizer.pretokenizers[0]');
  only('pre_tokenizer.pretokenizers[0].type', split.type, ['Split']);
  only('pre_tokenizer pattern', record(split.pattern, 'pre_tokenizer pattern').Regex, [QWEN2_PATTERN]);
  only('Split.behavior', split.behavior, ['Isolated']);
  only('Split.invert', split.invert ?? false, [false]);
  const byteLevel = record(steps[1], 'pre_tokenizer.pretokenizers[1]');
  only('pre_tokenizer.pretokenizers[1].type', byteLevel.type, ['ByteLevel']);
  // The library's own defaults are true for both: absent would mean another tokenizer.
  only('ByteLevel.add_prefix_space', byteLevel.add_prefix_space, [false]);
  only('ByteLevel.use_regex', byteLevel.use_regex, [false]);
}

/**
 * Checks an untrusted tokenizer.json and builds its tables. Settings that would change ids and are not
 * implemented are refused; `truncation` and `padding` are the caller's business and not applied.
 * @throws SpeedqError 'invalid-tokenizer'
 */
export function parseTokenizerJson(json: unknown): TokenizerTables {
  const root = record(json, 'tokenizer.json');
  const model = record(root.model, 'model');
  only('model.type', model.type ?? 'BPE', ['BPE']);
  only('model.dropout', model.dropout, [null, 0]);
  only('model.unk_token', model.unk_token, [null]);
  only('model.continuing_subword_prefix', model.continuing_subword_prefix, [null, '']);
  only('model.end_of_word_suffix', model.end_of_word_suffix, [null, '']);
  only('model.byte_fallback', model.byte_fallback ?? false, [false]);
  only('model.ignore_merges', model.ignore_merges ?? false, [false]);
  const normalizer = root.normalizer ?? null;
  if (normalizer !== null) only('normalizer.type', record(normalizer, 'normalizer').type, ['NFC']);
  checkPreTokenizer(root.pre_tokenizer);
  only('decoder.type', record(root.decoder, 'decoder').type, ['ByteLevel']);
  const postProcessor = root.post_processor ?? null;
  if (postProcessor !== null) {
    only('post_processor.type', record(postProcessor, 'post_processor').type, ['ByteLevel']);
  }

  const vocabulary = readVocabulary(model.vocab);
  const merges = readMerges(model.merges, vocabulary);
  const addedTokens = readAddedTokens(root.added_tokens);
  const tokens: (string | undefined)[] = [];
  const place = (content: string, id: number): void => {
    const there = tokens[id];
    if (there !== undefined && there !== content) {
      throw invalidTokenizer(`id ${id} belongs to both ${show(there)} and ${show(content)}`);
    }
    tokens[id] = content;
  };
  for (const [token, id] of vocabulary) place(token, id);
  const seen = new Set<string>();
  const specialIds = new Set<number>();
  for (const { content, id, special } of addedTokens) {
    const inVocabulary = vocabulary.get(content);
    if (seen.has(content)) throw invalidTokenizer(`added token ${show(content)} is listed twice`);
    if (inVocabulary !== undefined && inVocabulary !== id) {
      throw invalidTokenizer(
        `${show(content)} has id ${inVocabulary} in model.vocab and ${id} as added token`,
      );
    }
    seen.add(content);
    place(content, id);
    if (special) specialIds.add(id);
  }
  const reachable = merges.results.findIndex((id) => specialIds.has(id));
  if (reachable >= 0) {
    throw invalidTokenizer(`merge ${reachable} makes a special token, so plain text could forge it`);
  }
  return { vocabulary, tokens, merges, addedTokens, normalizeToNfc: normalizer !== null };
}
