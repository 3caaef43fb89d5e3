import { SpeedqError } from '@speedq/format';
import { alphabetInOrder, byteToChar } from './tokenizer/byte-alphabet.ts';
import { preTokenize } from './tokenizer/pre-tokenize.ts';
import { qwen2TokenizerJson } from './tokenizer/synthesize.ts';
import type { TokenizerJson } from './tokenizer/synthesize.ts';

export interface TrainBpeOptions {
  /** Wanted number of ids, special tokens included; at least 256 + the special tokens. */
  readonly vocabSize: number;
  /** Added after the vocabulary, in this order; a string is a special token. */
  readonly specialTokens: readonly (string | { readonly content: string; readonly special: boolean })[];
  /** A pair seen less often is not merged (default 2). */
  readonly minFrequency?: number;
}

export interface TrainedTokenizer {
  readonly tokenizerJson: TokenizerJson;
  /** Contents of vocab.json, merges.txt and added_tokens.json of an original-layout folder. */
  readonly vocabJson: Readonly<Record<string, number>>;
  readonly mergesText: string;
  readonly addedTokensJson: Readonly<Record<string, number>>;
  /** Ids in all: less than asked for if the texts ran out of pairs. */
  readonly vocabSize: number;
}

/** Left id * PAIR + right id is the key of a pair; ids stay below. */
const PAIR = 2 ** 21;

interface Candidate {
  readonly key: number;
  readonly count: number;
}

/** Most frequent first, then the smaller pair: what makes training independent of the order of the texts. */
const isBefore = (a: Candidate, b: Candidate): boolean =>
  a.count !== b.count ? a.count > b.count : a.key < b.key;

class CandidateHeap {
  private readonly items: Candidate[] = [];

  push(item: Candidate): void {
    const { items } = this;
    let i = items.push(item) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!isBefore(item, items[parent])) break;
      items[i] = items[parent];
      i = parent;
    }
    items[i] = item;
  }

  pop(): Candidate | undefined {
    const { items } = this;
    const top = items[0];
    const item = items.pop();
    if (item === undefined || items.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && isBefore(items[child + 1], items[child])) child++;
      if (!isBefore(items[child], item)) break;
      items[i] = items[child];
      i = child;
    }
    items[i] = item;
    return top;
  }
}

function countPieces(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const piece of preTokenize(text.normalize('NFC'))) counts.set(piece, (counts.get(piece) ?? 0) + 1);
  }
  return counts;
}

/** Merges every occurrence of the pair, left to right, in place; returns the new length. */
function mergeWord(word: Int32Array, left: number, right: number, merged: number): Int32Array {
  let length = 0;
  for (let i = 0; i < word.length; i++) {
    const isPair = i + 1 < word.length && word[i] === left && word[i + 1] === right;
    word[length++] = isPair ? merged : word[i];
    if (isPair) i++;
  }
  return word.subarray(0, length);
}

/**
 * Trains a byte-level BPE of the Qwen2 kind (NFC, Qwen2 pieces, digits one by one). Distinct pieces are counted
 * first, so the time depends on the distinct words, not on the amount of text. Deterministic, and independent of
 * the order of the texts. Special tokens in the texts are plain characters here: leave them out.
 * @throws SpeedqError 'invalid-argument'
 */
export function trainByteLevelBpe(texts: Iterable<string>, options: TrainBpeOptions): TrainedTokenizer {
  const { vocabSize, minFrequency = 2 } = options;
  const added = options.specialTokens.map((token) =>
    typeof token === 'string' ? { content: token, special: true } : token,
  );
  const limit = vocabSize - added.length;
  if (!Number.isInteger(vocabSize) || limit < 256 || vocabSize > PAIR) {
    throw new SpeedqError(
      'invalid-argument',
      `vocabSize must be a whole number from ${256 + added.length} (256 bytes and ${added.length} special ` +
        `tokens) to ${PAIR}, got ${vocabSize}.`,
    );
  }

  const tokens: string[] = [...alphabetInOrder];
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const byteIds = byteToChar.map((char) => ids.get(char)!);
  const encoder = new TextEncoder();
  const words: Int32Array[] = [];
  const wordCounts: number[] = [];
  for (const [piece, count] of countPieces(texts)) {
    words.push(Int32Array.from(encoder.encode(piece), (byte) => byteIds[byte]));
    wordCounts.push(count);
  }

  const pairCounts = new Map<number, number>();
  // Words that held the pair at some time; a word is listed once per time it gained the pair.
  const pairWords = new Map<number, number[]>();
  const changed = new Set<number>();
  const addWord = (index: number, sign: 1 | -1): void => {
    const word = words[index];
    for (let i = 0; i + 1 < word.length; i++) {
      const key = word[i] * PAIR + word[i + 1];
      pairCounts.set(key, (pairCounts.get(key) ?? 0) + sign * wordCounts[index]);
      if (sign < 0) continue;
      changed.add(key);
      const holders = pairWords.get(key);
      if (!holders) pairWords.set(key, [index]);
      else if (holders[holders.length - 1] !== index) holders.push(index);
    }
  };
  for (let index = 0; index < words.length; index++) addWord(index, 1);
  const heap = new CandidateHeap();
  const enqueueChanged = (): void => {
    for (const key of changed) heap.push({ key, count: pairCounts.get(key)! });
    changed.clear();
  };
  enqueueChanged();

  const merges: [string, string][] = [];
  while (tokens.length < limit) {
    const top = heap.pop();
    if (!top || top.count < Math.max(minFrequency, 1)) break;
    const count = pairCounts.get(top.key) ?? 0;
    if (count !== top.count) {
      // Grown pairs were queued again with their new count; shrunken ones are queued again only now.
      if (count > 0 && count < top.count) heap.push({ key: top.key, count });
      continue;
    }
    const right = top.key % PAIR;
    const left = (top.key - right) / PAIR;
    const content = tokens[left] + tokens[right];
    // Two different pairs may spell the same token: then it keeps its id and the vocabulary does not grow.
    let merged = ids.get(content);
    if (merged === undefined) {
      merged = tokens.push(content) - 1;
      ids.set(content, merged);
    }
    merges.push([tokens[left], tokens[right]]);
    for (const index of new Set(pairWords.get(top.key))) {
      addWord(index, -1);
      words[index] = mergeWord(words[index], left, right, merged);
      addWord(index, 1);
    }
    pairWords.delete(top.key);
    pairCounts.delete(top.key);
    changed.delete(top.key);
    enqueueChanged();
  }

  const vocabJson = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const addedTokens = added.map((token, index) => ({ ...token, id: tokens.length + index }));
  const clash = addedTokens.find(
    ({ content }, i) => ids.has(content) || added.findIndex((t) => t.content === content) !== i,
  );
  if (clash) {
    throw new SpeedqError(
      'invalid-argument',
      `The special token ${JSON.stringify(clash.content)} is listed twice or is an ordinary token of the texts; ` +
        'choose another spelling.',
    );
  }
  return {
    tokenizerJson: qwen2TokenizerJson(vocabJson, merges, addedTokens),
    vocabJson,
    mergesText: ['#version: 0.2', ...merges.map((pair) => pair.join(' ')), ''].join('\n'),
    addedTokensJson: Object.fromEntries(addedTokens.map(({ content, id }) => [content, id])),
    vocabSize: tokens.length + addedTokens.length,
  };
}
