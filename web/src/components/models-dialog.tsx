import { useEffect, useId, useMemo, useRef, useState } from 'preact/hooks';
import { formatBytes } from '../chat/format-numbers.ts';
import { chooseModel } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import { isArchive, ModelLibraryStore } from '../state/model-library.ts';
import { useStore } from '../state/store.ts';
import { Dialog } from './dialog.tsx';
import { ModelCard } from './model-card.tsx';

export function ModelsDialog({ onClose }: { onClose: () => void }) {
  const app = useApp();
  const t = useText();
  const { choice, loading } = useStore(app.model);
  const library = useMemo(() => new ModelLibraryStore(app.settings, choice), [app]);
  const { entries, storage } = useStore(library);
  useEffect(() => void library.refresh(), [library]);
  return (
    <Dialog title={t.models} class="models" onClose={onClose}>
      <ul class="cards">
        {entries.map((entry) => (
          <ModelCard
            key={entry.choice.id}
            entry={entry}
            library={library}
            isInUse={entry.choice.id === choice.id}
            onUse={() => {
              onClose();
              void chooseModel(app, entry.choice);
            }}
          />
        ))}
      </ul>
      {loading.status === 'ready' && (
        <p class="aside">
          {loading.info.adapter.name} · {t.memoryUse(formatBytes(loading.info.memoryBytes))}
        </p>
      )}
      {storage && (
        <div class="storage">
          <meter
            min={0}
            max={storage.available}
            value={storage.used}
            aria-label={t.storageUse(formatBytes(storage.used), formatBytes(storage.available))}
          />
          <p class="aside">{t.storageUse(formatBytes(storage.used), formatBytes(storage.available))}</p>
        </div>
      )}
      <AddFromFolder library={library} />
      <AddByAddress library={library} />
    </Dialog>
  );
}

function AddFromFolder({ library }: { library: ModelLibraryStore }) {
  const app = useApp();
  const t = useText();
  const folder = useRef<HTMLInputElement>(null);
  const archive = useRef<HTMLInputElement>(null);
  const take = async (files: readonly File[], folder?: string): Promise<void> => {
    const isOneArchive = files.length === 1 && isArchive(files[0]);
    if (!isOneArchive && !files.some(({ name }) => name === 'manifest.json')) {
      app.notices.show(t.noManifest, { kind: 'problem' });
      return;
    }
    const name = await library.importFolder(files, folder);
    if (name !== undefined) app.notices.show(t.modelAdded(name));
  };
  const { dropped } = useStore(app.ui);
  useEffect(() => {
    if (dropped.length === 0) return;
    app.ui.set({ dropped: [] });
    void (async () => {
      for (const { name, files } of dropped) await take(files, name);
    })();
  }, [dropped]);
  return (
    <div class="field">
      <h3>{t.importFolder}</h3>
      <p class="aside">{t.importFolderText}</p>
      <div class="buttons">
        <button type="button" onClick={() => folder.current?.click()}>
          {t.importFolder}
        </button>
        <button type="button" onClick={() => archive.current?.click()}>
          {t.importArchive}
        </button>
      </div>
      <input
        ref={archive}
        type="file"
        accept=".zip"
        class="visually-hidden"
        tabIndex={-1}
        aria-label={t.importArchive}
        onChange={(event) => {
          void take([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = '';
        }}
      />
      <input
        ref={(element) => {
          folder.current = element;
          // No property of JSX has this name.
          if (element) element.webkitdirectory = true;
        }}
        type="file"
        multiple
        class="visually-hidden"
        tabIndex={-1}
        aria-label={t.importFolder}
        onChange={(event) => {
          void take([...(event.currentTarget.files ?? [])]);
          event.currentTarget.value = '';
        }}
      />
    </div>
  );
}

function AddByAddress({ library }: { library: ModelLibraryStore }) {
  const app = useApp();
  const t = useText();
  const id = useId();
  const [address, setAddress] = useState('');
  const add = async (): Promise<void> => {
    try {
      app.notices.show(t.modelAdded(await library.addAddress(address.trim())));
      setAddress('');
    } catch {
      app.notices.show(t.addressOther, { kind: 'problem' });
    }
  };
  return (
    <form
      class="field"
      onSubmit={(event) => {
        event.preventDefault();
        if (address.trim() !== '') void add();
      }}
    >
      <h3>{t.addByAddress}</h3>
      <label for={id} class="aside">
        {t.addressText}
      </label>
      <div class="buttons">
        <input
          id={id}
          type="text"
          inputMode="url"
          value={address}
          placeholder="./models/my-model/"
          onInput={(event) => setAddress(event.currentTarget.value)}
        />
        <button type="submit" disabled={address.trim() === ''}>
          {t.add}
        </button>
      </div>
      <p class="aside">{t.addressOther}</p>
    </form>
  );
}
