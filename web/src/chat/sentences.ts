/** Splits text that comes in pieces into whole sentences: half a word read aloud helps nobody. */
export class SentenceReader {
  private pending = '';

  /** The sentences that `text` finishes. */
  push(text: string): string[] {
    this.pending += text;
    const sentences: string[] = [];
    for (let end = sentenceEnd(this.pending); end > 0; end = sentenceEnd(this.pending)) {
      const sentence = this.pending.slice(0, end).trim();
      this.pending = this.pending.slice(end);
      if (sentence !== '') sentences.push(sentence);
    }
    return sentences;
  }

  /** What is left when nothing more comes. */
  finish(): string[] {
    const rest = this.pending.trim();
    this.pending = '';
    return rest === '' ? [] : [rest];
  }
}

/** Where the first sentence ends; 0 while that is not certain: "3." may become "3.5". */
function sentenceEnd(text: string): number {
  const match = /[。！？\n]|[.!?][)"'”’]*\s/u.exec(text);
  return match ? match.index + match[0].length : 0;
}
