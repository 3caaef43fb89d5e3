import { pathTo } from '../chat/tree.ts';
import { useApp, useText } from '../state/app-state.ts';
import { useStore } from '../state/store.ts';

/** How much of the conversation's memory the shown branch uses. */
export function ContextMeter() {
  const app = useApp();
  const t = useText();
  const { open } = useStore(app.chats);
  const { loading } = useStore(app.model);
  const facts = pathTo(open.messages, open.chat.leafId).findLast(
    ({ answer }) => answer?.contextWindow,
  )?.answer;
  const used = facts?.contextUsage ?? 0;
  const all = facts?.contextWindow ?? (loading.status === 'ready' ? loading.info.contextWindow : 0);
  if (all === 0) return null;
  const text = t.contextUsed(used, all);
  return (
    <span class="context" title={text}>
      <meter min={0} max={all} high={all * 0.85} value={used} aria-label={text} />
      <span aria-hidden="true">
        {used} / {all}
      </span>
    </span>
  );
}
