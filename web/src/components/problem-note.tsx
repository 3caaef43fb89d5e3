import type { Problem } from '../chat/types.ts';
import { useText } from '../state/app-state.ts';

export function ProblemNote({ title, problem }: { title: string; problem: Problem }) {
  const t = useText();
  const meaning = t.problems[problem.code];
  return (
    <div class="problem" role="alert">
      <strong>{title}</strong>
      {meaning && <p>{meaning}</p>}
      <p lang="en">{problem.message}</p>
      <p class="code">{problem.code}</p>
    </div>
  );
}
