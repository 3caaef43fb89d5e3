import type { Output } from '../output.ts';
import type { Progress } from '../progress.ts';
import type { EngineKind } from './engine.ts';
import { openModel } from './open-model.ts';
import type { OpenModel } from './open-model.ts';
import { scoreText } from './perplexity.ts';
import { printTextScore } from './print.ts';

/** What `speedq eval --perplexity` was asked for. */
export interface TextJob {
  readonly model: string;
  readonly file: string;
  readonly reference?: string;
  readonly engine: EngineKind;
  readonly window: number;
  readonly threads?: number;
}

interface Terminal {
  readonly output: Output;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Perplexity of a text file or of conversations, beside the reference where there is one. */
export async function evaluateText(
  { model: path, file, reference: float, engine, window, threads }: TextJob,
  { output, progress, signal }: Terminal,
): Promise<Record<string, unknown>> {
  const opened: OpenModel[] = [];
  const open = async (folder: string): Promise<OpenModel> => {
    const model = await openModel(folder, engine, { threads });
    opened.push(model);
    return model;
  };
  try {
    const model = await open(path);
    const reference = float === undefined ? undefined : await open(float);
    const task = progress.start(`perplexity of ${model.name}`);
    const score = await scoreText({
      model,
      reference,
      file,
      window,
      signal,
      onProgress(done, total, perplexity) {
        task.total = total;
        task.update(done, `perplexity ${perplexity.toFixed(3)}`);
      },
    });
    task.finish();
    printTextScore(score, output);
    return { ...score, engine: model.engine.kind, adapter: model.engine.description };
  } finally {
    for (const model of opened) model.engine.destroy();
  }
}
