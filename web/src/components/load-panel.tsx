import { formatBytes } from '../chat/format-numbers.ts';
import type { Dictionary } from '../i18n/index.ts';
import type { LoadingProgress } from '../state/model.ts';
import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';
import { ProblemNote } from './problem-note.tsx';

/** How the opening of the model goes, or why it failed. */
export function LoadPanel() {
  const app = useApp();
  const t = useText();
  const { loading } = useStore(app.model);
  if (loading.status === 'failed') {
    return (
      <section class="panel">
        <ProblemNote title={t.loadFailed} problem={loading.problem} />
        <div class="buttons">
          <button type="button" class="primary" onClick={() => void app.model.load()}>
            {t.tryAgain}
          </button>
          {loading.problem.code === 'out-of-space' && (
            <button type="button" onClick={() => void app.model.load({ storage: 'memory' })}>
              {t.openWithoutKeeping}
            </button>
          )}
          <button type="button" class="quiet" onClick={() => app.ui.openDialog('models')}>
            {t.chooseOther}
          </button>
        </div>
      </section>
    );
  }
  if (loading.status !== 'loading') return null;
  const { progress } = loading;
  const isDownload = progress?.source === 'network' && progress.fraction < 1;
  return (
    <section class="panel">
      <label for="load-progress">{describe(progress, t)}</label>
      <progress
        id="load-progress"
        max={1}
        value={progress && progress.fraction < 1 ? progress.fraction : undefined}
      />
      {isDownload && (
        <p class="aside">
          {rateOf(progress, t)}
          <button type="button" class="quiet" onClick={() => app.model.cancel()}>
            {t.cancel}
          </button>
        </p>
      )}
      {progress?.adapter.engine === 'wasm' && (
        <p class="notice" role="note">
          {t.withoutGraphics}
        </p>
      )}
      {progress?.adapter.isSoftware && (
        <p class="notice" role="note">
          {t.software}
        </p>
      )}
    </section>
  );
}

function describe(progress: LoadingProgress | undefined, t: Dictionary): string {
  if (!progress) return t.looking;
  const { fraction, bytes, source } = progress;
  if (fraction >= 1) return t.preparing;
  const [done, all] = [formatBytes(fraction * bytes), formatBytes(bytes)];
  return source === 'network' ? t.downloading(done, all) : t.reading(done, all);
}

function rateOf({ bytesPerSecond, secondsLeft }: LoadingProgress, t: Dictionary): string {
  if (bytesPerSecond === undefined || secondsLeft === undefined) return '';
  const left = secondsLeft < 90 ? t.seconds(Math.ceil(secondsLeft)) : t.minutes(Math.ceil(secondsLeft / 60));
  return `${t.speed(formatBytes(bytesPerSecond))} · ${t.timeLeft(left)}`;
}
