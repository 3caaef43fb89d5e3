import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';
import { IconButton } from './icon-button.tsx';

/** What happened just now, and the offer of a new version. */
export function NoticeList() {
  const app = useApp();
  const t = useText();
  const { notices } = useStore(app.notices);
  const { updateWaiting } = useStore(app.version);
  const { live } = useStore(app.answering);
  return (
    <div class="notices" role="status">
      {updateWaiting && (
        <div class="toast">
          <span>
            {t.updateWaiting} {live ? t.updateAfterAnswer : ''}
          </span>
          <button type="button" disabled={live !== undefined} onClick={() => void app.version.reload()}>
            {t.reload}
          </button>
        </div>
      )}
      {notices.map(({ id, text, kind, action }) => (
        <div key={id} class="toast" data-kind={kind}>
          <span>{text}</span>
          {action && (
            <button
              type="button"
              onClick={() => {
                app.notices.dismiss(id);
                action.run();
              }}
            >
              {action.label}
            </button>
          )}
          <IconButton
            icon="close"
            label={t.close}
            class="small plain"
            onClick={() => app.notices.dismiss(id)}
          />
        </div>
      ))}
    </div>
  );
}
