import type { DroppedModel } from '../exchange/dropped-files.ts';
import type { Picture } from '../chat/types.ts';
import { Store } from './store.ts';

export type DialogName = 'settings' | 'models' | 'shortcuts' | 'camera';

export interface UiState {
  readonly dialog: DialogName | undefined;
  /** The list of chats on a small screen. */
  readonly drawerOpen: boolean;
  /** The picture that is shown large. */
  readonly viewed: Picture | undefined;
  /** The question that is being edited. */
  readonly editing: string | undefined;
  /** Models that the dialog of models is to take. */
  readonly dropped: readonly DroppedModel[];
}

/** What is open on the page; nothing of it is kept. */
export class UiStore extends Store<UiState> {
  constructor() {
    super({ dialog: undefined, drawerOpen: false, viewed: undefined, editing: undefined, dropped: [] });
  }

  /** A dialog takes the drawer's place. */
  openDialog(dialog: DialogName): void {
    this.update({ dialog, drawerOpen: false });
  }

  set(change: Partial<UiState>): void {
    this.update(change);
  }
}
