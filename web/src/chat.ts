import { DownloadProgressEvent, LanguageModel, SpeedqError } from '@speedq/runtime';
import type {
  AdapterDescription,
  LanguageModelContent,
  LanguageModelPrompt,
  SessionInfo,
} from '@speedq/runtime';

export interface AttachedPicture {
  readonly blob: Blob;
  readonly name: string;
  /** An object URL, for the page's lifetime: answered questions keep showing their picture. */
  readonly url: string;
}

export interface Problem {
  /** A SpeedqError's code, or 'internal'. */
  readonly code: string;
  readonly message: string;
}

export interface Turn {
  readonly id: number;
  readonly question: string;
  readonly picture: AttachedPicture | undefined;
  readonly answer: string;
  readonly status: 'waiting' | 'answering' | 'done' | 'stopped' | 'failed';
  readonly problem?: Problem;
  readonly tokensPerSecond?: number;
  readonly firstTokenSeconds?: number;
}

export type Loading =
  | { readonly status: 'loading'; readonly progress: LoadingProgress | undefined }
  | { readonly status: 'ready'; readonly info: SessionInfo }
  | { readonly status: 'failed'; readonly problem: Problem };

export interface LoadingProgress {
  readonly fraction: number;
  readonly bytes: number;
  readonly source: 'network' | 'storage';
  readonly adapter: AdapterDescription;
}

export interface ChatState {
  readonly loading: Loading;
  readonly turns: readonly Turn[];
  readonly picture: AttachedPicture | undefined;
  /** Why the last picture was refused. */
  readonly pictureProblem: Problem | undefined;
  readonly checkingPicture: boolean;
}

export interface ChatOptions {
  readonly model: string;
  readonly createWorker: () => Worker;
  /** Otherwise every question is asked by itself, with its picture. */
  readonly remembersTurns: boolean;
}

/** A page of text; a model that rambles is stopped there. */
const MAX_NEW_TOKENS = 512;

/** Everything the page does apart from showing it. */
export class Chat {
  state: ChatState = {
    loading: { status: 'loading', progress: undefined },
    turns: [],
    picture: undefined,
    pictureProblem: undefined,
    checkingPicture: false,
  };
  private readonly options: ChatOptions;
  private readonly listeners = new Set<() => void>();
  /** Holds the model; conversations are its clones. */
  private base: LanguageModel | undefined;
  private conversation: { session: LanguageModel; picture: AttachedPicture | undefined } | undefined;
  private answering: AbortController | undefined;
  /** Settles once every picture chosen so far was read or refused. */
  private readingPictures: Promise<unknown> = Promise.resolve();
  private nextTurn = 1;

  constructor(options: ChatOptions) {
    this.options = options;
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async load(): Promise<void> {
    this.update({ loading: { status: 'loading', progress: undefined } });
    try {
      this.base = await LanguageModel.create({
        model: this.options.model,
        createWorker: this.options.createWorker,
        monitor: (monitor) => monitor.addEventListener('downloadprogress', (event) => this.progress(event)),
      });
      this.update({ loading: { status: 'ready', info: this.base.info } });
    } catch (error) {
      this.update({ loading: { status: 'failed', problem: toProblem(error) } });
    }
  }

  /** Makes a picture the one that questions are about, if the model can read it. */
  attach(blob: Blob, name: string): Promise<boolean> {
    // One after another: the one chosen last is the one that stays.
    const attached = this.readingPictures.then(() => this.readAndAttach(blob, name));
    this.readingPictures = attached;
    return attached;
  }

  private async readAndAttach(blob: Blob, name: string): Promise<boolean> {
    this.update({ pictureProblem: undefined, checkingPicture: true });
    try {
      // Reading it is the test that counts: the same code will read it for the answer.
      await this.base?.measureContextUsage([{ role: 'user', content: [{ type: 'image', value: blob }] }]);
      this.update({ picture: { blob, name, url: URL.createObjectURL(blob) } });
      return true;
    } catch (error) {
      this.update({ pictureProblem: toProblem(error) });
      return false;
    } finally {
      this.update({ checkingPicture: false });
    }
  }

  detach(): void {
    this.update({ picture: undefined, pictureProblem: undefined });
  }

  dismissPictureProblem(): void {
    this.update({ pictureProblem: undefined });
  }

  /** Asks about the attached picture, or without one. Does nothing while an answer is coming. */
  async ask(question: string): Promise<void> {
    if (!this.base || this.answering || question.trim() === '') return;
    const answering = new AbortController();
    this.answering = answering;
    // A picture still being read is the one the question is about.
    await this.readingPictures;
    const { picture } = this.state;
    const id = this.nextTurn++;
    const turn: Turn = { id, question: question.trim(), picture, answer: '', status: 'waiting' };
    this.update({ turns: [...this.state.turns, turn], pictureProblem: undefined });
    let session: LanguageModel | undefined;
    try {
      session = await this.sessionFor(picture);
      const stream = session.promptStreaming(this.promptFor(turn, session), {
        signal: answering.signal,
        maxNewTokens: MAX_NEW_TOKENS,
      });
      for await (const text of streamed(stream)) {
        this.updateTurn(id, (now) => ({ ...now, answer: now.answer + text, status: 'answering' }));
      }
      const { tokensPerSecond, firstTokenSeconds } = session.info;
      this.updateTurn(id, (now) => ({ ...now, status: 'done', tokensPerSecond, firstTokenSeconds }));
    } catch (error) {
      if (answering.signal.aborted) this.updateTurn(id, (now) => ({ ...now, status: 'stopped' }));
      else this.updateTurn(id, (now) => ({ ...now, status: 'failed', problem: toProblem(error) }));
    } finally {
      if (!this.options.remembersTurns) session?.destroy();
      this.answering = undefined;
      this.update({});
    }
  }

  get busy(): boolean {
    return this.answering !== undefined;
  }

  stop(): void {
    this.answering?.abort();
  }

  /** Forgets the conversation and its picture. */
  startAfresh(): void {
    this.stop();
    this.conversation?.session.destroy();
    this.conversation = undefined;
    this.update({ turns: [], picture: undefined, pictureProblem: undefined });
  }

  private async sessionFor(picture: AttachedPicture | undefined): Promise<LanguageModel> {
    const base = this.base!;
    if (!this.options.remembersTurns) return await base.clone();
    // A new picture begins a new conversation.
    if (!this.conversation || this.conversation.picture !== picture) {
      this.conversation?.session.destroy();
      this.conversation = { session: await base.clone(), picture };
    }
    return this.conversation.session;
  }

  private promptFor({ question, picture }: Turn, session: LanguageModel): LanguageModelPrompt {
    const isFirst = session.contextUsage === this.base!.contextUsage;
    const content: LanguageModelContent[] = [{ type: 'text', value: question }];
    if (picture && isFirst) content.unshift({ type: 'image', value: picture.blob });
    return [{ role: 'user', content }];
  }

  private progress(event: Event): void {
    if (!(event instanceof DownloadProgressEvent)) return;
    const { loaded: fraction, totalBytes: bytes, source, adapter } = event;
    this.update({ loading: { status: 'loading', progress: { fraction, bytes, source, adapter } } });
  }

  private updateTurn(id: number, change: (turn: Turn) => Turn): void {
    this.update({ turns: this.state.turns.map((turn) => (turn.id === id ? change(turn) : turn)) });
  }

  private update(change: Partial<ChatState>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}

/** Safari has no async iteration of streams. */
async function* streamed(stream: ReadableStream<string>): AsyncGenerator<string> {
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

function toProblem(error: unknown): Problem {
  if (error instanceof SpeedqError) return { code: error.code, message: error.message };
  return { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}
