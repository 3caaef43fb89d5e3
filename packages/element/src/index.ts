/** Importing this registers <speedq-chat>. What runs the model is fetched when a model is loaded. */
import { SpeedqChat } from './speedq-chat.ts';

export { SpeedqChat } from './speedq-chat.ts';
export type {
  ChatMessageDetail,
  ErrorDetail,
  ProgressDetail,
  SpeedqChatEventMap,
  SpeedqChatState,
} from './speedq-chat.ts';

// Not on a server that renders pages, and not twice where two copies meet.
if (typeof customElements !== 'undefined' && !customElements.get('speedq-chat')) {
  customElements.define('speedq-chat', SpeedqChat);
}

declare global {
  interface HTMLElementTagNameMap {
    'speedq-chat': SpeedqChat;
  }
}
