import { chooseGrid } from '@speedq/runtime';
import { useEffect, useState } from 'preact/hooks';
import type { Picture } from '../chat/types.ts';
import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';
import { absoluteAddress, runModelJob } from '../storage/model-jobs.ts';
import type { ModelReport } from '../storage/model-report.ts';
import { Dialog } from './dialog.tsx';
import { useObjectUrl } from './picture-thumb.tsx';

/** A picture as large as the screen allows and, on demand, the squares in which the model sees it. */
export function PictureViewer({ picture, onClose }: { picture: Picture; onClose: () => void }) {
  const t = useText();
  const url = useObjectUrl(picture.blob);
  const tiling = useTiling();
  const [size, setSize] = useState<{ width: number; height: number }>();
  const [showsTiles, setShowsTiles] = useState(false);
  const grid = tiling && size ? chooseGrid(size.width, size.height, tiling) : undefined;
  const lines = (count: number): number[] => Array.from({ length: count - 1 }, (_, i) => (i + 1) / count);
  return (
    <Dialog title={picture.name} class="viewer" onClose={onClose}>
      <div class="frame">
        {url && (
          <img
            src={url}
            alt={picture.name}
            onLoad={({ currentTarget: { naturalWidth: width, naturalHeight: height } }) =>
              setSize({ width, height })
            }
          />
        )}
        {showsTiles && grid && (
          <svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden="true">
            <rect width="1" height="1" />
            {lines(grid.columns).map((x) => (
              <path key={`x${x}`} d={`M${x} 0V1`} />
            ))}
            {lines(grid.rows).map((y) => (
              <path key={`y${y}`} d={`M0 ${y}H1`} />
            ))}
          </svg>
        )}
      </div>
      <div class="viewer-foot">
        {size && <span class="aside">{t.pixels(size.width, size.height)}</span>}
        {grid && (
          <label class="check">
            <input
              type="checkbox"
              checked={showsTiles}
              onChange={(event) => setShowsTiles(event.currentTarget.checked)}
            />
            {t.tiles}
          </label>
        )}
      </div>
      {showsTiles && grid && tiling && <p>{t.tileText(grid.columns, grid.rows, tiling.tileSize)}</p>}
    </Dialog>
  );
}

/** How the model in use cuts pictures, as its manifest on this device says. */
function useTiling(): ModelReport['tiling'] {
  const { choice } = useStore(useApp().model);
  const [tiling, setTiling] = useState<ModelReport['tiling']>();
  useEffect(() => {
    runModelJob({ kind: 'describe', url: absoluteAddress(choice.address), online: false })
      .then((report) => setTiling(report.tiling))
      // A model that is not kept on this device: the picture is shown without its tiles.
      .catch(() => {});
  }, [choice]);
  return tiling;
}
