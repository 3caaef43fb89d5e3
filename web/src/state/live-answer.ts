/** An answer while it comes: its listeners get only what is new, so that nothing is drawn twice. */
export class LiveAnswer {
  readonly messageId: string;
  private readonly listeners = new Set<(piece: string) => void>();
  private soFar: string;

  constructor(messageId: string, soFar = '') {
    this.messageId = messageId;
    this.soFar = soFar;
  }

  get text(): string {
    return this.soFar;
  }

  append(piece: string): void {
    this.soFar += piece;
    for (const listener of this.listeners) listener(piece);
  }

  /** Returns how to stop listening. */
  subscribe(listener: (piece: string) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}
