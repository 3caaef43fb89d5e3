import { useEffect, useState } from 'preact/hooks';
import { formatBytes } from '../chat/format-numbers.ts';
import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';
import { absoluteAddress, runModelJob } from '../storage/model-jobs.ts';
import { Icon } from './icon.tsx';

/** What will be downloaded and kept, before anything is. `isShort` under a chat that can be read already. */
export function FirstVisit({ isShort }: { isShort: boolean }) {
  const app = useApp();
  const t = useText();
  const { choice } = useStore(app.model);
  const [bytes, setBytes] = useState<number>();
  useEffect(() => {
    setBytes(undefined);
    let current = true;
    runModelJob({ kind: 'describe', url: absoluteAddress(choice.address), online: true })
      .then((report) => current && setBytes(report.bytes))
      // The download itself says what is wrong.
      .catch(() => {});
    return () => {
      current = false;
    };
  }, [choice]);
  const size = bytes === undefined ? undefined : formatBytes(bytes);
  const begin = (): void => {
    // A browser that asks the person does so now, when the reason is on the screen.
    void navigator.storage?.persist?.().catch(() => false);
    void app.model.load();
  };
  const buttons = (
    <div class="buttons">
      <button type="button" class="primary" onClick={begin}>
        {size ? t.downloadSize(size) : t.download}
      </button>
      <button type="button" class="quiet" onClick={() => app.ui.openDialog('models')}>
        {t.chooseOther}
      </button>
    </div>
  );
  if (isShort) {
    return (
      <footer class="composer">
        <div class="card">
          <p class="aside">{size ? t.firstModel(choice.label, size) : t.firstModelUnknown(choice.label)}</p>
          {buttons}
        </div>
      </footer>
    );
  }
  return (
    <section class="first">
      <img src="./icon.svg" alt="" width={48} height={48} />
      <h2>{t.firstTitle}</h2>
      <p class="lead">{t.firstText}</p>
      <dl>
        <dt>{t.firstWhat}</dt>
        <dd>{size ? t.firstModel(choice.label, size) : t.firstModelUnknown(choice.label)}</dd>
        <dt>{t.firstStored}</dt>
        <dd>{t.firstStoredText}</dd>
        <dt>{t.firstOffline}</dt>
        <dd>{t.firstOfflineText}</dd>
      </dl>
      {buttons}
    </section>
  );
}

export function NoWebGpu() {
  const t = useText();
  return (
    <section class="first" role="alert">
      <Icon name="shield" />
      <h2>{t.noWebgpu}</h2>
      <p class="lead">{t.noWebgpuText}</p>
    </section>
  );
}
