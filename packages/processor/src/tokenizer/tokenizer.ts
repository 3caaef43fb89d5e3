import { parseJson, SpeedqError } from '@speedq/format';
import { byteToChar, tokenBytes } from './byte-alphabet.ts';
import { MAX_TEXT_LENGTH } from './limits.ts';
import { mergePiece } from './merge.ts';
import { preTokenize } from './pre-tokenize.ts';
import { synthesizeTokenizerJson } from './synthesize.ts';
import { invalidTokenizer, parseTokenizerJson } from './tokenizer-json.ts';
import type { AddedToken, TokenizerTables } from './tokenizer-json.ts';

export interface EncodeOptions {
  /**
   * Which special tokens are recognised in the text: none (default), all, or those named. The others are
   * encoded as the plain characters they are made of. A set is compiled once: keep it and do not change it. Hugging Face tokenizers recognise all by default, which
   * lets whoever types `<|im_end|>` close the message.
   */
  readonly allowSpecial?: boolean | ReadonlySet<string>;
}

export interface DecodeOptions {
  /** Leave special tokens out of the text (default false). */
  readonly skipSpecial?: boolean;
}

export interface Tokenizer {
  /** Largest id + 1. A model's embedding table may be larger (padding rows) but not smaller. */
  readonly vocabSize: number;
  readonly addedTokens: readonly AddedToken[];
  /**
   * Ids of a text; no id is added before or after it. Lone surrogates count as U+FFFD.
   * @throws SpeedqError 'invalid-argument' beyond MAX_TEXT_LENGTH
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** Text of ids. Invalid UTF-8 becomes U+FFFD; ids without a token (padding rows of a head) give nothing. */
  decode(ids: Iterable<number>, options?: DecodeOptions): string;
  /** UTF-8 bytes of one id, possibly an incomplete character; empty for ids without a token. */
  bytesOf(id: number): Uint8Array;
  isSpecial(id: number): boolean;
  tokenToId(token: string): number | undefined;
}

const CACHED_PIECE_LENGTH = 64;
const CACHE_ENTRIES = 32_768;

interface Matcher {
  readonly pattern: RegExp | null;
  readonly ids: ReadonlyMap<string, number>;
}

/** Longest first: an alternation takes the first that fits. */
function compileMatcher(entries: readonly (readonly [string, number])[]): Matcher {
  const ids = new Map(entries);
  if (ids.size === 0) return { pattern: null, ids };
  const contents = [...ids.keys()].sort((a, b) => b.length - a.length);
  const source = contents.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|');
  return { pattern: new RegExp(source, 'gu'), ids };
}

class ByteLevelBpe implements Tokenizer {
  readonly vocabSize: number;
  readonly addedTokens: readonly AddedToken[];
  private readonly tables: TokenizerTables;
  private readonly addedIds: ReadonlyMap<string, number>;
  private readonly addedById: ReadonlyMap<number, AddedToken>;
  private readonly byteIds: Int32Array;
  private readonly encoder = new TextEncoder();
  private readonly cache = new Map<string, readonly number[]>();
  private readonly matchersByFlag = new Map<boolean, readonly [Matcher, Matcher]>();
  private readonly matchersBySet = new WeakMap<ReadonlySet<string>, readonly [Matcher, Matcher]>();

  constructor(tables: TokenizerTables) {
    this.tables = tables;
    this.vocabSize = tables.tokens.length;
    this.addedTokens = tables.addedTokens;
    this.addedIds = new Map(tables.addedTokens.map(({ content, id }) => [content, id]));
    this.addedById = new Map(tables.addedTokens.map((token) => [token.id, token]));
    this.byteIds = Int32Array.from(byteToChar, (char) => tables.vocabulary.get(char) ?? -1);
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    if (text.length > MAX_TEXT_LENGTH) {
      throw new SpeedqError(
        'invalid-argument',
        `The text has ${text.length} characters, at most ${MAX_TEXT_LENGTH} are encoded at once. ` +
          'Shorten it or encode it in parts.',
      );
    }
    const { allowSpecial = false } = options;
    const ids: number[] = [];
    // As in the reference: raw matches first, then the rest is normalised and searched for the others.
    const [raw, normalized] = this.matchersFor(allowSpecial);
    this.splitByAdded(text, raw, ids, (part) => {
      const normal = this.tables.normalizeToNfc ? part.normalize('NFC') : part;
      this.splitByAdded(normal, normalized, ids, (plain) => this.encodePlain(plain, ids));
    });
    return ids;
  }

  decode(ids: Iterable<number>, options: DecodeOptions = {}): string {
    const chunks: Uint8Array[] = [];
    let length = 0;
    for (const id of ids) {
      if (options.skipSpecial && this.isSpecial(id)) continue;
      const bytes = this.bytesOf(id);
      chunks.push(bytes);
      length += bytes.length;
    }
    const all = new Uint8Array(length);
    let offset = 0;
    for (const chunk of chunks) {
      all.set(chunk, offset);
      offset += chunk.length;
    }
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(all);
  }

  bytesOf(id: number): Uint8Array {
    const added = this.addedById.get(id);
    if (added) return this.encoder.encode(added.content);
    const token = this.tables.tokens[id];
    if (token === undefined) return new Uint8Array(0);
    return tokenBytes(token) ?? this.encoder.encode(token);
  }

  isSpecial(id: number): boolean {
    return this.addedById.get(id)?.special ?? false;
  }

  tokenToId(token: string): number | undefined {
    return this.addedIds.get(token) ?? this.tables.vocabulary.get(token);
  }

  private splitByAdded(
    text: string,
    { pattern, ids: matchIds }: Matcher,
    ids: number[],
    encodeRest: (part: string) => void,
  ): void {
    let start = 0;
    if (pattern) {
      for (const match of text.matchAll(pattern)) {
        if (match.index > start) encodeRest(text.slice(start, match.index));
        start = match.index + match[0].length;
        ids.push(matchIds.get(match[0])!);
      }
    }
    if (start < text.length) encodeRest(text.slice(start));
  }

  private matchersFor(allowSpecial: boolean | ReadonlySet<string>): readonly [Matcher, Matcher] {
    const known =
      typeof allowSpecial === 'boolean'
        ? this.matchersByFlag.get(allowSpecial)
        : this.matchersBySet.get(allowSpecial);
    if (known) return known;
    const allowed = this.addedTokens.filter(
      ({ content, special }) =>
        !special || (typeof allowSpecial === 'boolean' ? allowSpecial : allowSpecial.has(content)),
    );
    const toNfc = (content: string): string =>
      this.tables.normalizeToNfc ? content.normalize('NFC') : content;
    const matchers = [
      compileMatcher(allowed.filter((token) => !token.normalized).map(({ content, id }) => [content, id])),
      compileMatcher(
        allowed.filter((token) => token.normalized).map(({ content, id }) => [toNfc(content), id]),
      ),
    ] as const;
    if (typeof allowSpecial === 'boolean') this.matchersByFlag.set(allowSpecial, matchers);
    else this.matchersBySet.set(allowSpecial, matchers);
    return matchers;
  }

  private encodePlain(text: string, ids: number[]): void {
    for (const piece of preTokenize(text)) {
      const known = this.cache.get(piece);
      const merged = known ?? this.encodePiece(piece);
      for (const id of merged) ids.push(id);
    }
  }

  private encodePiece(piece: string): readonly number[] {
    const bytes = this.encoder.encode(piece);
    const merged = mergePiece(
      Int32Array.from(bytes, (byte) => this.byteIds[byte]),
      this.tables.merges,
    );
    if (piece.length <= CACHED_PIECE_LENGTH) {
      // Emptied rather than evicted one by one: hits come from common words, which are back at once.
      if (this.cache.size >= CACHE_ENTRIES) this.cache.clear();
      this.cache.set(piece, merged);
    }
    return merged;
  }
}

/**
 * Opens a parsed, untrusted tokenizer.json.
 * @throws SpeedqError 'invalid-tokenizer'
 */
export function createTokenizer(tokenizerJson: unknown): Tokenizer {
  return new ByteLevelBpe(parseTokenizerJson(tokenizerJson));
}

/** Texts of the tokenizer files of a model folder, by file name. */
export interface TokenizerFiles {
  readonly 'tokenizer.json'?: string;
  readonly 'vocab.json'?: string;
  readonly 'merges.txt'?: string;
  readonly 'added_tokens.json'?: string;
  readonly 'tokenizer_config.json'?: string;
}

/**
 * Opens the tokenizer of a model folder: tokenizer.json, or, where an original-layout folder has none, the
 * same made from vocab.json, merges.txt, added_tokens.json and tokenizer_config.json.
 * @throws SpeedqError 'invalid-tokenizer'
 */
export function openTokenizer(files: TokenizerFiles): Tokenizer {
  return createTokenizer(tokenizerJsonOf(files));
}

/** The tokenizer.json object of a folder, as written or synthesized. @throws SpeedqError 'invalid-tokenizer' */
export function tokenizerJsonOf(files: TokenizerFiles): unknown {
  const parse = (name: keyof TokenizerFiles): unknown => {
    const text = files[name];
    if (text === undefined) return undefined;
    try {
      return parseJson(text);
    } catch (cause) {
      throw invalidTokenizer(`${name} is not valid JSON`, cause);
    }
  };
  if (files['tokenizer.json'] !== undefined) return parse('tokenizer.json');
  const merges = files['merges.txt'];
  if (files['vocab.json'] === undefined || merges === undefined) {
    throw invalidTokenizer('the folder has neither tokenizer.json nor vocab.json with merges.txt');
  }
  return synthesizeTokenizerJson(
    parse('vocab.json'),
    merges,
    parse('added_tokens.json'),
    parse('tokenizer_config.json'),
  );
}
