import { useEffect } from 'preact/hooks';
import { Announcer } from './components/announcer.tsx';
import { CameraDialog } from './components/camera-dialog.tsx';
import { Composer } from './components/composer.tsx';
import { Conversation } from './components/conversation.tsx';
import { DropTarget } from './components/drop-target.tsx';
import { EngineNotes } from './components/engine-notes.tsx';
import { FirstVisit, NoWebGpu } from './components/first-visit.tsx';
import { LoadPanel } from './components/load-panel.tsx';
import { ModelsDialog } from './components/models-dialog.tsx';
import { NoticeList } from './components/notice-list.tsx';
import { PictureViewer } from './components/picture-viewer.tsx';
import { SettingsDialog } from './components/settings-dialog.tsx';
import { ShortcutsDialog } from './components/shortcuts-dialog.tsx';
import { Sidebar } from './components/sidebar.tsx';
import { TopBar } from './components/top-bar.tsx';
import { Welcome } from './components/welcome.tsx';
import { useApp } from './state/app-state.ts';
import { listenToShortcuts } from './state/shortcuts.ts';
import { useStore } from './state/store.ts';

export function App() {
  const app = useApp();
  const { loading } = useStore(app.model);
  const { open } = useStore(app.chats);
  useEffect(() => listenToShortcuts(app), [app]);
  const isEmpty = open.chat.leafId === null;
  const showsChat = loading.status === 'ready' || loading.status === 'loading' || loading.status === 'failed';
  return (
    <>
      <Sidebar />
      <div class="main">
        <TopBar />
        <main>
          <div class="column">
            <EngineNotes />
            <LoadPanel />
            {isEmpty && loading.status === 'absent' && <FirstVisit isShort={false} />}
            {loading.status === 'unavailable' && <NoWebGpu />}
            {isEmpty && showsChat && <Welcome />}
            <Conversation />
          </div>
        </main>
        {!isEmpty && loading.status === 'absent' && <FirstVisit isShort />}
        {loading.status !== 'absent' && loading.status !== 'unavailable' && <Composer />}
      </div>
      <OpenDialog />
      <DropTarget />
      <NoticeList />
      <Announcer />
    </>
  );
}

function OpenDialog() {
  const { ui } = useApp();
  const { dialog, viewed } = useStore(ui);
  const close = (): void => ui.set({ dialog: undefined });
  if (viewed) return <PictureViewer picture={viewed} onClose={() => ui.set({ viewed: undefined })} />;
  switch (dialog) {
    case 'settings':
      return <SettingsDialog onClose={close} />;
    case 'models':
      return <ModelsDialog onClose={close} />;
    case 'shortcuts':
      return <ShortcutsDialog onClose={close} />;
    case 'camera':
      return <CameraDialog onClose={close} />;
    case undefined:
      return null;
  }
}
