import { remembersTurns } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import type { Attachment } from '../state/attachments.ts';
import { useStore } from '../state/store.ts';
import { IconButton } from './icon-button.tsx';
import { PictureThumb } from './picture-thumb.tsx';
import { ProblemNote } from './problem-note.tsx';

/** The pictures that the next question is about, and why the last one was refused. */
export function AttachedPictures() {
  const app = useApp();
  const t = useText();
  const { attached, problem } = useStore(app.attachments);
  const { choice } = useStore(app.model);
  const isReading = attached.some(({ picture }) => !picture);
  return (
    <>
      {problem && (
        <div class="refused">
          <ProblemNote title={t.pictureRefused} problem={problem} />
          <button type="button" class="quiet" onClick={() => app.attachments.dismissProblem()}>
            {t.close}
          </button>
        </div>
      )}
      {attached.length > 0 && (
        <div class="attached">
          <ul>
            {attached.map((entry) => (
              <AttachedPicture key={entry.key} entry={entry} />
            ))}
          </ul>
          <span class="aside" role="status">
            {isReading ? t.readingPicture : t.aboutPictures(attached.length)}
            {!isReading && !remembersTurns(choice) ? ` ${t.singleQuestions}` : ''}
          </span>
        </div>
      )}
    </>
  );
}

function AttachedPicture({ entry: { key, name, picture } }: { entry: Attachment }) {
  const { attachments } = useApp();
  const t = useText();
  return (
    <li aria-busy={!picture}>
      {picture ? <PictureThumb picture={picture} /> : <span class="thumb" title={name} />}
      <IconButton icon="close" label={t.removePicture} class="tiny" onClick={() => attachments.remove(key)} />
    </li>
  );
}
