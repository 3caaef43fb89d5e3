import { useEffect, useState } from 'preact/hooks';
import { oneDecimal } from '../chat/format-numbers.ts';
import type { AnswerFacts, Message } from '../chat/types.ts';
import type { Dictionary } from '../i18n/index.ts';
import { remembersTurns } from '../state/actions.ts';
import { useApp, useText } from '../state/app-state.ts';
import type { LiveAnswer } from '../state/live-answer.ts';
import { useStore } from '../state/store.ts';
import { CopyButton } from './copy-button.tsx';
import { IconButton } from './icon-button.tsx';
import { MarkdownText } from './markdown-text.tsx';
import { ProblemNote } from './problem-note.tsx';
import { VersionSwitch } from './version-switch.tsx';

interface AnswerProps {
  message: Message;
  siblings: readonly Message[];
  live: LiveAnswer | undefined;
  isLast: boolean;
}

export function Answer({ message, siblings, live, isLast }: AnswerProps) {
  const t = useText();
  const begun = useHasText(live) || message.text !== '';
  const facts = message.answer ?? { status: 'done', model: '' };
  // What was coming when the page was closed will not come any more; what is coming has its last words to write.
  const status = live ? 'answering' : facts.status === 'answering' ? 'stopped' : facts.status;
  return (
    <article class="answer" data-status={status} aria-label={t.answer}>
      {live && !begun && <p class="thinking">{t.thinking}</p>}
      <MarkdownText text={message.text} live={live} />
      {status === 'done' && message.text === '' && <p class="aside">{t.emptyAnswer}</p>}
      {status === 'stopped' && <p class="aside">{t.stopped}</p>}
      {status === 'cut' && <p class="aside">{t.cut}</p>}
      {facts.problem && <ProblemNote title={t.noAnswer} problem={facts.problem} />}
      {!live && <Actions message={message} siblings={siblings} status={status} isLast={isLast} />}
    </article>
  );
}

interface ActionsProps extends Omit<AnswerProps, 'live'> {
  status: AnswerFacts['status'];
}

function Actions({ message, siblings, status, isLast }: ActionsProps) {
  const app = useApp();
  const t = useText();
  const { choice, loading } = useStore(app.model);
  const { live } = useStore(app.answering);
  const cannotAsk = loading.status !== 'ready' || live !== undefined;
  const isUnfinished = isLast && (status === 'cut' || status === 'stopped') && message.text !== '';
  return (
    <div class="actions">
      <VersionSwitch message={message} siblings={siblings} />
      {message.text !== '' && <CopyButton text={message.text} />}
      <IconButton
        icon="again"
        label={t.regenerate}
        class="small plain"
        disabled={cannotAsk}
        onClick={() => void app.answering.regenerate(message)}
      />
      {isUnfinished && remembersTurns(choice) && (
        <IconButton
          icon="forward"
          label={t.continueAnswer}
          class="small plain"
          disabled={cannotAsk}
          onClick={() => void app.answering.ask(t.continueQuestion, [])}
        />
      )}
      {message.answer && <span class="aside">{describe(message.answer, t)}</span>}
    </div>
  );
}

/** Draws again once, when the first token comes. */
function useHasText(live: LiveAnswer | undefined): boolean {
  const [has, setHas] = useState(false);
  useEffect(() => {
    setHas(live !== undefined && live.text !== '');
    return live?.subscribe(() => setHas(true));
  }, [live]);
  return has;
}

function describe({ tokensPerSecond, firstTokenSeconds }: AnswerFacts, t: Dictionary): string {
  const facts: string[] = [];
  if (tokensPerSecond !== undefined) facts.push(t.tokensPerSecond(oneDecimal(tokensPerSecond)));
  if (firstTokenSeconds !== undefined) facts.push(t.firstToken(oneDecimal(firstTokenSeconds)));
  return facts.join(' · ');
}
