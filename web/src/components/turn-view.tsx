import type { Turn } from '../chat.ts';
import { oneDecimal } from '../format-numbers.ts';
import { ProblemNote } from './problem-note.tsx';

export function TurnView({ turn, showPicture }: { turn: Turn; showPicture: boolean }) {
  const { question, picture, answer, status, problem } = turn;
  return (
    <article class="turn">
      <div class="question">
        {picture && showPicture && <img src={picture.url} alt={picture.name} />}
        <p>
          <span class="visually-hidden">You: </span>
          {question}
        </p>
      </div>
      <div class="answer" data-status={status}>
        <span class="visually-hidden">Answer: </span>
        {status === 'waiting' && <p class="thinking">Looking …</p>}
        {answer !== '' && <p class="text">{answer}</p>}
        {status === 'done' && answer === '' && <p class="aside">The model gave an empty answer.</p>}
        {status === 'stopped' && <p class="aside">Stopped.</p>}
        {problem && <ProblemNote title="No answer" problem={problem} />}
        {status === 'done' && <p class="aside">{describe(turn)}</p>}
      </div>
    </article>
  );
}

function describe({ tokensPerSecond, firstTokenSeconds }: Turn): string {
  const facts: string[] = [];
  if (tokensPerSecond !== undefined) facts.push(`${oneDecimal(tokensPerSecond)} tokens/s`);
  if (firstTokenSeconds !== undefined) facts.push(`first token after ${oneDecimal(firstTokenSeconds)} s`);
  return facts.join(' · ');
}
