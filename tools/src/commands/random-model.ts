import { defineCommand } from '../cli/command.ts';
import { writeRandomModel } from '../random-model.ts';

export const randomModel = defineCommand({
  args: {},
  options: {
    out: { type: 'string', hint: 'DIR', required: true, description: 'folder to write' },
    size: { type: 'string', choices: ['1b', '2b'], default: '1b', description: 'which InternVL3' },
    layout: {
      type: 'string',
      choices: ['huggingface', 'original'],
      default: 'huggingface',
      description: 'layout of the folder; both hold the same weights',
    },
    visionLayers: { type: 'integer', min: 1, max: 24, description: 'cut the vision encoder to N layers' },
    languageLayers: { type: 'integer', min: 1, max: 28, description: 'cut the language model to N layers' },
    seed: { type: 'integer', min: 0, default: 0, description: 'of the weights' },
    force: { type: 'boolean', description: 'replace an earlier output' },
  },
  examples: [
    { does: 'The shapes of InternVL3-1B', line: 'random-model --out random-1b' },
    {
      does: 'The same, cut to a few layers for a quick try',
      line: 'random-model --vision-layers 2 --language-layers 2 --out random-small',
    },
  ],
  details: 'Random weights of the released shapes, for exercising at real size what needs no trained model.',
  async run({ options, output, progress }) {
    const { out, size, layout, visionLayers, languageLayers, seed, force } = options;
    const task = progress.start('writing tensors');
    await writeRandomModel({
      outDir: out,
      size,
      layout,
      visionLayers,
      languageLayers,
      seed,
      force,
      onTensor: (done, total) => {
        task.total = total;
        task.update(done);
      },
    });
    task.finish();
    output.print(out);
    return { out, size, layout, seed };
  },
});
