import { useEffect, useRef, useState } from 'preact/hooks';
import { attachFiles } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import { Dialog } from './dialog.tsx';

/** Takes a picture with the device's camera; it goes nowhere but to the model. */
export function CameraDialog({ onClose }: { onClose: () => void }) {
  const app = useApp();
  const t = useText();
  const video = useRef<HTMLVideoElement>(null);
  const [state, setState] = useState<'asking' | 'on' | 'refused'>('asking');

  useEffect(() => {
    let stream: MediaStream | undefined;
    let closed = false;
    const stop = (): void => stream?.getTracks().forEach((track) => track.stop());
    const start = async (): Promise<void> => {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
      if (closed) return stop();
      video.current!.srcObject = stream;
      await video.current!.play();
      setState('on');
    };
    start().catch(() => !closed && setState('refused'));
    return () => {
      closed = true;
      stop();
    };
  }, []);

  const take = async (): Promise<void> => {
    const { videoWidth: width, videoHeight: height } = video.current!;
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext('2d')!.drawImage(video.current!, 0, 0);
    const blob = await canvas.convertToBlob({ type: 'image/png' });
    attachFiles(app, [new File([blob], 'camera.png', { type: blob.type })]);
    onClose();
  };
  return (
    <Dialog title={t.cameraTitle} class="camera" onClose={onClose}>
      {state === 'refused' ? (
        <CameraFile onClose={onClose} />
      ) : (
        <>
          <video ref={video} muted playsInline aria-label={t.cameraTitle} />
          <div class="buttons">
            <button type="button" class="primary" disabled={state !== 'on'} onClick={() => void take()}>
              {t.shutter}
            </button>
          </div>
        </>
      )}
    </Dialog>
  );
}

/** The camera app of a phone, where the page itself may not use the camera. */
function CameraFile({ onClose }: { onClose: () => void }) {
  const app = useApp();
  const t = useText();
  const file = useRef<HTMLInputElement>(null);
  return (
    <>
      <p role="alert">{t.cameraRefused}</p>
      <div class="buttons">
        <button type="button" onClick={() => file.current?.click()}>
          {t.choosePicture}
        </button>
      </div>
      <input
        ref={file}
        type="file"
        accept="image/*"
        capture="environment"
        class="visually-hidden"
        tabIndex={-1}
        aria-label={t.takePicture}
        onChange={(event) => {
          attachFiles(app, [...(event.currentTarget.files ?? [])]);
          onClose();
        }}
      />
    </>
  );
}
