import { defineCommand } from '../cli/command.ts';
import { writeDataset } from '../data/index.ts';
import { formatCount } from '../output.ts';

export const data = defineCommand({
  args: {},
  options: {
    seed: { type: 'integer', required: true, min: 0, description: 'the same seed gives the same data' },
    count: { type: 'integer', required: true, min: 1, description: 'number of questions' },
    out: { type: 'string', hint: 'DIR', required: true, description: 'folder for data.jsonl and pictures' },
    tsv: {
      type: 'string',
      hint: 'FILE',
      description: 'write the same questions as a VLMEvalKit-style TSV too',
    },
    split: {
      type: 'string',
      choices: ['train', 'test'],
      description: 'which contents; default: test with --tsv, else train',
    },
    size: {
      type: 'integer',
      min: 56,
      max: 1792,
      description: 'side of the pictures in pixels (default 168)',
    },
    perPicture: { type: 'integer', min: 1, description: 'questions about one picture' },
    force: { type: 'boolean', description: 'replace an earlier output' },
  },
  examples: [
    { does: 'Data to quantize with', line: 'data --seed 20 --count 12000 --out calibration' },
    {
      does: 'Data to score with, of other contents',
      line: 'data --seed 2026 --count 1000 --out test --tsv test.tsv',
    },
  ],
  details:
    'Pictures and questions are drawn by rules and are all different; train and test share no content.',
  async run({ options, output, progress }) {
    const { seed, count, out, tsv, split, size, perPicture, force } = options;
    const task = progress.start('drawing', count);
    const summary = await writeDataset({
      seed,
      count,
      out,
      tsv,
      split,
      size,
      questionsPerPicture: perPicture,
      force,
      onProgress: (done) => task.update(done),
    });
    task.finish(`${formatCount(summary.questions)} questions, ${formatCount(summary.pictures)} pictures`);
    output.table(
      Object.entries(summary.byType).map(([type, questions]) => [type, formatCount(questions)]),
      [1],
    );
    return { out, tsv, ...summary };
  },
});
