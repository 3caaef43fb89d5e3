import type { Problem } from '../chat.ts';

export function ProblemNote({ title, problem }: { title: string; problem: Problem }) {
  return (
    <div class="problem" role="alert">
      <strong>{title}</strong>
      <p>{problem.message}</p>
      <p class="code">{problem.code}</p>
    </div>
  );
}
