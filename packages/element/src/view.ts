import { element } from './dom.ts';
import type { MarkdownWriter, markdownStyles, markdownWriter } from './markdown/index.ts';
import { styleSheet } from './styles.ts';
import type { Texts } from './texts.ts';

/** What the view tells its element. */
export interface ViewActions {
  load(): void;
  cancel(): void;
  ask(text: string, pictures: readonly Blob[]): void;
  stop(): void;
}

/** What draws answers, fetched with the engine. */
export interface Markdown {
  readonly markdownWriter: typeof markdownWriter;
  readonly markdownStyles: typeof markdownStyles;
}

/** Everything that is seen, in the element's shadow tree. Knows nothing of models. */
export class View {
  private readonly root: ShadowRoot;
  private readonly texts: Texts;
  private markdown: Markdown | undefined;
  private readonly poster: HTMLImageElement;
  private readonly before: HTMLElement;
  private readonly chat: HTMLElement;
  private readonly loadButton: HTMLButtonElement;
  private readonly note: HTMLElement;
  private readonly progressBox: HTMLElement;
  private readonly progress: HTMLProgressElement;
  private readonly progressText: HTMLElement;
  private readonly error: HTMLElement;
  private readonly log: HTMLElement;
  private readonly input: HTMLTextAreaElement;
  private readonly send: HTMLButtonElement;
  private readonly stop: HTMLButtonElement;
  private readonly file: HTMLInputElement;
  private readonly attached: HTMLElement;
  private pictures: Blob[] = [];
  private readonly urls = new Set<string>();

  constructor(root: ShadowRoot, texts: Texts, actions: ViewActions) {
    this.root = root;
    this.texts = texts;
    root.adoptedStyleSheets = [styleSheet()];
    const button = (part: string, label: string, className = ''): HTMLButtonElement =>
      element('button', { type: 'button', part, className, textContent: label });
    this.poster = element('img', { part: 'poster', className: 'poster', alt: '', hidden: true });
    this.loadButton = button('load-button', texts.load, 'primary');
    this.loadButton.onclick = () => actions.load();
    this.note = element('p', { part: 'note', className: 'note', textContent: texts.note });
    this.progress = element('progress', { part: 'progress', max: 1, value: 0 });
    this.progress.setAttribute('aria-label', texts.loading(0, 0));
    this.progressText = element('p', { part: 'progress-text', className: 'note' });
    const cancel = button('cancel-button', texts.cancel);
    cancel.onclick = () => actions.cancel();
    this.progressBox = element(
      'div',
      { className: 'before', hidden: true },
      this.progress,
      this.progressText,
      cancel,
    );
    this.error = element('p', {
      part: 'error',
      className: 'error',
      hidden: true,
      attributes: { role: 'alert' },
    });
    this.before = element(
      'div',
      { className: 'before', part: 'before' },
      element('slot', { name: 'poster' }, this.poster),
      this.loadButton,
      this.note,
    );
    this.log = element('div', {
      className: 'log',
      part: 'log',
      tabIndex: 0,
      attributes: { role: 'log', 'aria-label': texts.conversation, 'aria-live': 'polite' },
    });
    this.log.append(element('slot', { name: 'empty' }));
    this.input = element('textarea', {
      part: 'input',
      rows: 1,
      attributes: { 'aria-label': texts.question },
    });
    this.send = element('button', {
      type: 'submit',
      part: 'send-button',
      className: 'primary',
      textContent: texts.send,
    });
    this.stop = button('stop-button', texts.stop);
    this.stop.hidden = true;
    this.stop.onclick = () => actions.stop();
    this.file = element('input', { type: 'file', accept: 'image/*', multiple: true, hidden: true });
    const attach = button('attach-button', texts.attach);
    attach.onclick = () => this.file.click();
    this.attached = element('div', { className: 'attached', hidden: true });
    const form = element(
      'form',
      { part: 'form' },
      this.attached,
      this.file,
      attach,
      this.input,
      this.send,
      this.stop,
    );
    this.chat = element('div', { className: 'chat', hidden: true }, this.log, form);
    root.append(
      element(
        'div',
        { className: 'frame', part: 'container' },
        element('slot', { name: 'header' }),
        this.before,
        this.progressBox,
        this.error,
        this.chat,
        element('slot', { name: 'footer' }),
      ),
    );
    this.listen(form, actions);
  }

  setPoster(address: string | null): void {
    this.poster.hidden = address === null;
    if (address === null) this.poster.removeAttribute('src');
    else this.poster.src = address;
  }

  setPlaceholder(text: string | null): void {
    this.input.placeholder = text ?? this.texts.question;
  }

  showIdle(): void {
    this.show('before');
  }

  showLoading(fraction: number, bytes: number): void {
    this.show('progress');
    this.progress.value = fraction;
    const text = this.texts.loading(Math.floor(fraction * 100), Math.round(bytes / 1e6));
    if (this.progressText.textContent !== text) this.progressText.textContent = text;
  }

  showChat(markdown: Markdown, takesFocus: boolean): void {
    this.markdown = markdown;
    this.root.adoptedStyleSheets = [styleSheet(), markdown.markdownStyles()];
    this.show('chat');
    if (takesFocus) this.input.focus({ preventScroll: true });
  }

  /** In place of the model where it is not open, under the conversation where it is. */
  showError(message: string, isOpen: boolean): void {
    if (!isOpen) this.show('before');
    this.loadButton.textContent = this.texts.retry;
    this.error.textContent = message;
    this.error.hidden = false;
  }

  setBusy(busy: boolean): void {
    this.error.hidden = true;
    this.send.hidden = busy;
    this.stop.hidden = !busy;
    this.log.setAttribute('aria-busy', String(busy));
  }

  addQuestion(text: string, pictures: readonly Blob[]): void {
    const images = pictures.map((picture) =>
      element('img', { part: 'picture', alt: '', src: this.urlOf(picture) }),
    );
    this.addMessage('question', this.texts.you, ...images, text);
  }

  /** What writes the answer. Only once the chat is shown. */
  addAnswer(): MarkdownWriter {
    const box = element('div', { className: 'markdown' });
    const writer = this.markdown!.markdownWriter(box);
    this.addMessage('answer', this.texts.answer, box);
    const following = (change: () => void): void => {
      const { scrollHeight, scrollTop, clientHeight } = this.log;
      // Whoever has scrolled up reads on undisturbed.
      const follows = scrollHeight - scrollTop - clientHeight < 40;
      change();
      if (follows) this.log.scrollTop = this.log.scrollHeight;
    };
    return {
      write: (piece) => following(() => writer.write(piece)),
      end: () => following(() => writer.end()),
    };
  }

  clear(): void {
    for (const message of this.log.querySelectorAll('.message')) message.remove();
    this.setPictures([]);
    this.release();
  }

  /** Gives back what the document keeps for pictures. */
  release(): void {
    for (const url of this.urls) URL.revokeObjectURL(url);
    this.urls.clear();
  }

  private addMessage(kind: 'question' | 'answer', name: string, ...content: (Node | string)[]): void {
    const label = element('span', { className: 'name', textContent: `${name}: ` });
    this.log.append(
      element('div', { className: `message ${kind}`, part: `message ${kind}` }, label, ...content),
    );
    this.log.scrollTop = this.log.scrollHeight;
  }

  private show(what: 'before' | 'progress' | 'chat'): void {
    this.error.hidden = true;
    this.before.hidden = what !== 'before';
    this.progressBox.hidden = what !== 'progress';
    this.chat.hidden = what !== 'chat';
  }

  private listen(form: HTMLFormElement, actions: ViewActions): void {
    form.onsubmit = (event) => {
      event.preventDefault();
      const text = this.input.value.trim();
      if ((text === '' && this.pictures.length === 0) || this.send.hidden) return;
      const { pictures } = this;
      this.input.value = '';
      this.setPictures([]);
      actions.ask(text, pictures);
    };
    this.input.onkeydown = (event) => {
      // Enter that ends the composing of a character is not for us.
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        form.requestSubmit();
      }
    };
    form.onkeydown = (event) => {
      if (event.key === 'Escape') actions.stop();
    };
    this.file.onchange = () => {
      this.addPictures(this.file.files);
      this.file.value = '';
    };
    this.input.onpaste = (event) => {
      if (this.addPictures(event.clipboardData?.files)) event.preventDefault();
    };
    this.chat.ondragover = (event) => event.preventDefault();
    this.chat.ondrop = (event) => {
      event.preventDefault();
      this.addPictures(event.dataTransfer?.files);
    };
  }

  private addPictures(files: Iterable<File> | null | undefined): boolean {
    const pictures = [...(files ?? [])].filter(({ type }) => type.startsWith('image/'));
    if (pictures.length > 0) this.setPictures([...this.pictures, ...pictures]);
    return pictures.length > 0;
  }

  private setPictures(pictures: readonly Blob[]): void {
    this.pictures = [...pictures];
    this.attached.hidden = pictures.length === 0;
    this.attached.replaceChildren(
      ...pictures.map((picture) => {
        const remove = element(
          'button',
          { type: 'button', part: 'picture-button', attributes: { 'aria-label': this.texts.remove } },
          element('img', { alt: '', src: this.urlOf(picture) }),
        );
        remove.onclick = () => {
          this.setPictures(this.pictures.filter((other) => other !== picture));
          this.input.focus();
        };
        return remove;
      }),
    );
  }

  private urlOf(picture: Blob): string {
    const url = URL.createObjectURL(picture);
    this.urls.add(url);
    return url;
  }
}
