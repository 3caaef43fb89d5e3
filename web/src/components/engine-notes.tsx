import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';

/** What a person should know about this browser before wondering. */
export function EngineNotes() {
  const app = useApp();
  const t = useText();
  const { loading } = useStore(app.model);
  if (loading.status !== 'ready') return null;
  const { adapter, keptOffline } = loading.info;
  return (
    <>
      {adapter.engine === 'wasm' && (
        <p class="notice" role="note">
          {t.withoutGraphics}
        </p>
      )}
      {adapter.isSoftware && (
        <p class="notice" role="note">
          {t.software}
        </p>
      )}
      {!keptOffline && (
        <p class="notice" role="note">
          {t.notKept}
        </p>
      )}
    </>
  );
}
