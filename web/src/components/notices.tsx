import type { Loading } from '../chat.ts';

/** What a person should know about this browser before wondering. */
export function Notices({ loading }: { loading: Loading }) {
  const info = loading.status === 'ready' ? loading.info : undefined;
  const adapter = loading.status === 'loading' ? loading.progress?.adapter : info?.adapter;
  return (
    <>
      {adapter?.isSoftware && (
        <p class="notice" role="note">
          No graphics card is used: WebGPU runs in software here. Answers are the same, but opening the model
          takes a minute and answers come slowly.
        </p>
      )}
      {info && !info.keptOffline && (
        <p class="notice" role="note">
          The model could not be kept on this device, perhaps for lack of room: the next visit downloads it
          again.
        </p>
      )}
    </>
  );
}
