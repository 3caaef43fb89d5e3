import { Store } from './store.ts';

export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly kind: 'info' | 'problem';
  /** Something to do about it. */
  readonly action?: { readonly label: string; readonly run: () => void };
}

/** Long enough to read and to reach the button. */
const SHOWN_MILLISECONDS = 8000;

/** What happened just now, briefly. */
export class NoticesStore extends Store<{ readonly notices: readonly Notice[] }> {
  private nextId = 1;

  constructor() {
    super({ notices: [] });
  }

  show(text: string, more: Partial<Pick<Notice, 'kind' | 'action'>> = {}): void {
    const id = this.nextId++;
    this.update({ notices: [...this.state.notices, { id, text, kind: 'info', ...more }] });
    setTimeout(() => this.dismiss(id), SHOWN_MILLISECONDS);
  }

  dismiss(id: number): void {
    this.update({ notices: this.state.notices.filter((notice) => notice.id !== id) });
  }
}
