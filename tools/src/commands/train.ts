import { SpeedqError } from '@speedq/format';
import { join } from 'node:path';
import { defineCommand } from '../cli/command.ts';
import { loadState, stateFile } from '../train/checkpoint.ts';
import { exportCheckpoint } from '../train/export-checkpoint.ts';
import { parameterLayout } from '../train/parameter-layout.ts';
import { AUXILIARY_HEADS, loadPico } from '../train/pico.ts';
import { PICO_STAGES } from '../train/stages.ts';
import { trainStage } from '../train/trainer.ts';

const stageNames = PICO_STAGES.map(({ name }) => name);

/** Trains the embedded model from nothing but the pictures our own generator draws. */
export const train = defineCommand({
  args: {},
  options: {
    model: {
      type: 'string',
      hint: 'DIR',
      default: join('tools', 'models', 'pico'),
      description: 'folder with the tokenizer; the checkpoint is written there',
    },
    runs: {
      type: 'string',
      hint: 'DIR',
      default: join('runs', 'pico'),
      description: 'folder for states and logs; a run resumes from it',
    },
    stage: {
      type: 'string',
      multiple: true,
      choices: stageNames,
      description: 'only these stages; stages without a common ancestor may run side by side',
    },
    from: {
      type: 'string',
      hint: 'MODEL',
      description: 'start from the parameters of this float folder instead of earlier stages',
    },
    pictures: { type: 'integer', min: 1, description: 'pictures of each stage instead of the recipe’s' },
    workers: {
      type: 'integer',
      min: 1,
      default: 2,
      description: 'data-parallel workers; one per core is best',
    },
    threads: { type: 'integer', min: 1, default: 1, description: 'threads inside each worker' },
    seed: { type: 'integer', min: 0, default: 1, description: 'seed of initialisation and data' },
    noExport: { type: 'boolean', description: 'leave the checkpoint in the model folder as it is' },
  },
  examples: [
    { does: 'All stages; an interrupted run goes on', line: 'train --workers 4' },
    { does: 'Further training of the checkpoint', line: 'train --stage joint --from tools/models/pico' },
  ],
  details: 'Stages: ' + stageNames.join(', ') + '. Loss and accuracy are logged to RUNS/STAGE.ndjson.',
  async run({ options, progress, output, signal }) {
    const { model, runs, seed, workers, threads } = options;
    const selected = PICO_STAGES.filter(({ name }) => !options.stage?.length || options.stage.includes(name));
    const accuracies: Record<string, unknown> = {};
    for (const recipe of selected) {
      const stage = { ...recipe, pictures: options.pictures ?? recipe.pictures };
      const task = progress.start(`train ${stage.name}`, Math.ceil(stage.pictures / stage.picturesPerStep));
      await trainStage({
        stage,
        model,
        runs,
        from: options.from,
        seed,
        workers,
        threads,
        signal,
        onProgress: (report) => {
          const losses = Object.entries(report.losses).map(([name, value]) => `${name} ${value}`);
          task.update(report.step, `${losses.join(', ')}, ${report.picturesPerSecond} pictures/s`);
          output.event('train', { stage: stage.name, ...report });
          accuracies[stage.name] = report.accuracy;
        },
      });
      if (signal.aborted) {
        throw new SpeedqError(
          'aborted',
          `Stopped; the state is in ${runs}. The same command goes on from there.`,
        );
      }
      task.finish();
    }
    const last = selected.at(-1)!;
    if (options.noExport || last.kind === 'vision' || last.kind === 'oracle') return { accuracies };
    const pico = await loadPico(model);
    const state = await loadState(stateFile(runs, last.name), parameterLayout(pico.config, AUXILIARY_HEADS));
    await exportCheckpoint(model, pico, state!.parameters);
    return { accuracies, checkpoint: model };
  },
});
