import type { LanguageModel, LanguageModelCreateOptions, LanguageModelMessage } from '@speedq/runtime';
import { textsFor } from './texts.ts';
import { View } from './view.ts';

/** 'idle': nothing is loaded; 'ready': waits for a question; 'error': see the `error` event. */
export type SpeedqChatState = 'idle' | 'loading' | 'ready' | 'answering' | 'error';

export interface ProgressDetail {
  /** 0 to 1, never less than before. */
  readonly loaded: number;
  readonly totalBytes: number;
}

export interface ChatMessageDetail {
  readonly role: 'user' | 'assistant';
  readonly text: string;
  readonly pictures: readonly Blob[];
}

export interface ErrorDetail {
  readonly error: unknown;
}

/** None of them bubbles. */
export interface SpeedqChatEventMap {
  /** The model is open. */
  load: CustomEvent<undefined>;
  progress: CustomEvent<ProgressDetail>;
  /** A question was asked, or an answer is complete. */
  message: CustomEvent<ChatMessageDetail>;
  error: CustomEvent<ErrorDetail>;
}

type SessionOptions = Omit<LanguageModelCreateOptions, 'model' | 'signal' | 'monitor' | 'expectedInputs'>;

/** On a server that renders pages there are no elements; the class may still be imported there. */
const Base = globalThis.HTMLElement ?? (EventTarget as unknown as typeof HTMLElement);

/**
 * A chat about pictures with a packed model, in this page. Elements of one `src` share an engine.
 *
 * Attributes: `src` (address of the model's folder), `reveal` ('manual', the default: loads when a person asks
 * for it; 'auto': by itself), `loading` (of 'auto': 'lazy', the default, when it comes into view, or 'eager'),
 * `poster` (a picture for the time before), `placeholder`. Slots: header, poster, empty, footer.
 */
export class SpeedqChat extends Base {
  static readonly observedAttributes = ['src', 'poster', 'placeholder', 'reveal', 'loading'];

  /** For pages whose Trusted Types or bundler want to make the engine's worker themselves. */
  static createWorker: (() => Worker) | undefined;

  /** Further options of the session: system prompt (`initialPrompts`), sampling, context. Read when it loads. */
  sessionOptions: SessionOptions = {};

  private view: View | undefined;
  private session: LanguageModel | undefined;
  private loading: { readonly controller: AbortController; readonly done: Promise<void> } | undefined;
  private answering: AbortController | undefined;
  private observer: IntersectionObserver | undefined;
  private current: SpeedqChatState = 'idle';

  get state(): SpeedqChatState {
    return this.current;
  }

  get src(): string {
    return this.getAttribute('src') ?? '';
  }

  set src(address: string) {
    this.setAttribute('src', address);
  }

  /** Loads the model, as a person's click does. Resolves when it is open; rejects with what went wrong. */
  load(): Promise<void> {
    if (this.session) return Promise.resolve();
    if (!this.loading) {
      const controller = new AbortController();
      const done = this.open(controller.signal);
      this.loading = { controller, done };
    }
    return this.loading.done;
  }

  /** Asks as the person in front of it would, loading first where needed. Resolves to the answer. */
  async ask(text: string, pictures: readonly Blob[] = []): Promise<string> {
    await this.load();
    const { session, view } = this;
    if (!session || !view) throw new DOMException('The element was removed from the page.', 'AbortError');
    this.stop();
    const controller = new AbortController();
    this.answering = controller;
    this.setState('answering');
    view.setBusy(true);
    view.addQuestion(text, pictures);
    this.emit('message', { role: 'user', text, pictures });
    const writer = view.addAnswer();
    const content = [
      ...pictures.map((value) => ({ type: 'image', value }) as const),
      { type: 'text', value: text } as const,
    ];
    const question: LanguageModelMessage = { role: 'user', content };
    let answer = '';
    try {
      const reader = session.promptStreaming([question], { signal: controller.signal }).getReader();
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        answer += next.value;
        writer.write(next.value);
      }
      this.emit('message', { role: 'assistant', text: answer, pictures: [] });
      return answer;
    } catch (error) {
      if (!controller.signal.aborted) this.fail(error);
      throw error;
    } finally {
      writer.end();
      if (this.answering === controller) {
        this.answering = undefined;
        view.setBusy(false);
        if (this.state === 'answering') this.setState('ready');
      }
    }
  }

  /** Ends the answer that is coming; its question does not count as asked. */
  stop(): void {
    this.answering?.abort();
  }

  /** Forgets the conversation. */
  async clear(): Promise<void> {
    this.stop();
    this.view?.clear();
    const { session } = this;
    if (!session) return;
    this.session = undefined;
    await this.load();
    session.destroy();
  }

  connectedCallback(): void {
    if (!this.view) {
      const root = this.shadowRoot ?? this.attachShadow({ mode: 'open', delegatesFocus: true });
      const quietly = (promise: Promise<unknown>): void => void promise.catch(() => {});
      this.view = new View(root, textsFor(this), {
        load: () => quietly(this.load()),
        cancel: () => this.unload(),
        ask: (text, pictures) => quietly(this.ask(text, pictures)),
        stop: () => this.stop(),
      });
      for (const name of SpeedqChat.observedAttributes) this.attributeChangedCallback(name);
    }
    this.reveal();
  }

  /** An element that is moved is taken out and put in again at once: only what stays out is closed. */
  disconnectedCallback(): void {
    this.observer?.disconnect();
    this.observer = undefined;
    queueMicrotask(() => {
      if (!this.isConnected) this.unload();
    });
  }

  attributeChangedCallback(name: string, before?: string | null, after?: string | null): void {
    if (name === 'poster') this.view?.setPoster(this.getAttribute('poster'));
    if (name === 'placeholder') this.view?.setPlaceholder(this.getAttribute('placeholder'));
    if (name === 'src' && before !== after && before !== undefined) {
      this.unload();
      this.view?.clear();
    }
    if (this.isConnected && before !== after) this.reveal();
  }

  private reveal(): void {
    if (this.getAttribute('reveal') !== 'auto' || this.src === '' || this.state !== 'idle') return;
    const load = (): void => void this.load().catch(() => {});
    if (this.getAttribute('loading') === 'eager') return load();
    this.observer ??= new IntersectionObserver((entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      this.observer?.disconnect();
      this.observer = undefined;
      load();
    });
    this.observer.observe(this);
  }

  private async open(signal: AbortSignal): Promise<void> {
    const takesFocus = this.matches(':focus-within');
    this.setState('loading');
    this.view?.showLoading(0, 0);
    try {
      // The engine's client and what draws answers: fetched only now, and once for all elements.
      const [{ LanguageModel }, markdown] = await Promise.all([
        import('@speedq/runtime'),
        import('./markdown/index.ts'),
      ]);
      const session = await LanguageModel.create({
        createWorker: SpeedqChat.createWorker,
        ...this.sessionOptions,
        model: this.src,
        expectedInputs: [{ type: 'image' }],
        signal,
        monitor: (monitor) => {
          monitor.ondownloadprogress = (event) => {
            const { loaded, totalBytes } = event as Event & ProgressDetail;
            if (signal.aborted) return;
            this.view?.showLoading(loaded, totalBytes);
            this.emit('progress', { loaded, totalBytes });
          };
        },
      });
      this.session = session;
      this.setState('ready');
      this.view?.showChat(markdown, takesFocus);
      this.emit('load', undefined);
    } catch (error) {
      if (!signal.aborted) this.fail(error);
      throw error;
    } finally {
      if (this.loading?.controller.signal === signal) this.loading = undefined;
    }
  }

  private unload(): void {
    // `create`'s signal ends the session too, once it is there.
    this.stop();
    this.loading?.controller.abort();
    this.loading = undefined;
    this.session?.destroy();
    this.session = undefined;
    this.view?.release();
    this.view?.showIdle();
    this.setState('idle');
  }

  private fail(error: unknown): void {
    const isOpen = this.session !== undefined;
    this.setState(isOpen ? 'ready' : 'error');
    this.view?.showError(error instanceof Error ? error.message : String(error), isOpen);
    this.emit('error', { error });
  }

  private setState(state: SpeedqChatState): void {
    this.current = state;
    this.dataset.state = state;
  }

  private emit<K extends keyof SpeedqChatEventMap>(name: K, detail: SpeedqChatEventMap[K]['detail']): void {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
