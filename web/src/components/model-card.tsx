import { formatBytes } from '../chat/format-numbers.ts';
import { useApp, useText } from '../state/app-state.ts';
import type { ModelEntry, ModelLibraryStore } from '../state/model-library.ts';

interface ModelCardProps {
  entry: ModelEntry;
  library: ModelLibraryStore;
  isInUse: boolean;
  onUse: () => void;
}

/** One model: its size, whether it is on this device, and what can be done with it. */
export function ModelCard({ entry, library, isInUse, onUse }: ModelCardProps) {
  const app = useApp();
  const t = useText();
  const { choice, report, problem, progress, verified, wasAdded } = entry;
  const busy = progress !== undefined;
  const facts = [
    report?.bytes === undefined ? '' : formatBytes(report.bytes),
    report ? (report.kept ? t.onDevice : t.notOnDevice) : '',
    verified ? t.verified : '',
  ].filter(Boolean);
  const remove = async (): Promise<void> => {
    await library.remove(choice);
    app.notices.show(t.modelDeleted(choice.label));
  };
  return (
    <li class="model-card" aria-current={isInUse ? 'true' : undefined}>
      <div class="model-head">
        <strong>{choice.label}</strong>
        {isInUse && <span class="tag">{t.modelInUse}</span>}
      </div>
      <p class="aside">{facts.join(' · ')}</p>
      {problem && (
        <p class="problem" role="alert">
          {problem.message} <span class="code">{problem.code}</span>
        </p>
      )}
      {busy && <progress max={1} value={progress} aria-label={choice.label} />}
      <div class="buttons">
        {!isInUse && (
          <button type="button" disabled={busy} aria-label={`${t.use}: ${choice.label}`} onClick={onUse}>
            {t.use}
          </button>
        )}
        {report?.kept && (
          <button
            type="button"
            class="quiet"
            disabled={busy}
            aria-label={`${t.verify}: ${choice.label}`}
            onClick={() => void library.verify(choice)}
          >
            {t.verify}
          </button>
        )}
        {(report?.kept || problem) && !isInUse && !wasAdded && (
          <button
            type="button"
            class="danger"
            disabled={busy}
            aria-label={t.deleteModel(choice.label)}
            onClick={() => void remove()}
          >
            {t.remove}
          </button>
        )}
        {wasAdded && !isInUse && (
          <button
            type="button"
            class="danger"
            disabled={busy}
            aria-label={`${t.forget}: ${choice.label}`}
            onClick={() => void library.forget(choice)}
          >
            {t.forget}
          </button>
        )}
      </div>
    </li>
  );
}
