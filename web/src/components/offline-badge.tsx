import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';

/** Whether the next visit needs a network, quietly. */
export function OfflineBadge() {
  const app = useApp();
  const t = useText();
  const { keptOffline, online } = useStore(app.version);
  const { loading } = useStore(app.model);
  if (loading.status !== 'ready') return online ? null : <p class="badge">{t.offlineNow}</p>;
  const works = keptOffline && loading.info.keptOffline;
  return (
    <p class="badge" data-works={works}>
      {online ? '' : `${t.offlineNow} · `}
      {works ? t.offlineReady : t.onlineOnly}
    </p>
  );
}
