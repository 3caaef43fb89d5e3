import type { Loading } from '../chat.ts';
import { megabytes } from '../format-numbers.ts';
import { ProblemNote } from './problem-note.tsx';

export function LoadPanel({ loading, onRetry }: { loading: Loading; onRetry: () => void }) {
  if (loading.status === 'failed') {
    return (
      <section class="panel">
        <ProblemNote title="The model could not be opened" problem={loading.problem} />
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      </section>
    );
  }
  if (loading.status === 'ready') return null;
  const { progress } = loading;
  return (
    <section class="panel">
      <label for="load-progress">{describe(progress)}</label>
      <progress id="load-progress" max={1} value={progress?.fraction} />
    </section>
  );
}

function describe(progress: Extract<Loading, { status: 'loading' }>['progress']): string {
  if (!progress) return 'Looking for the model …';
  const { fraction, bytes, source } = progress;
  if (fraction >= 1) return 'Model verified. Preparing the graphics programs …';
  const amount = `${megabytes(fraction * bytes)} of ${megabytes(bytes)}`;
  return source === 'network'
    ? `Downloading and verifying the model: ${amount}`
    : `Reading and verifying the model kept on this device: ${amount}`;
}
