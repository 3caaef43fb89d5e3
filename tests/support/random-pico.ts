import { cp } from 'node:fs/promises';
import { exportCheckpoint } from '../../tools/src/train/export-checkpoint.ts';
import { initialise } from '../../tools/src/train/initialise.ts';
import { parameterLayout, parameterViews } from '../../tools/src/train/parameter-layout.ts';
import { AUXILIARY_HEADS, loadPico } from '../../tools/src/train/pico.ts';

const TOKENIZER_FOLDER = 'tools/models/pico';
/** An untrained head is nearly undecided; sharper, its greedy choices mean something. */
const HEAD_GAIN = 10;

/** A float folder of pico's shapes with its tokenizer and random weights. */
export async function writeRandomPico(folder: string, seed: number): Promise<void> {
  await cp(TOKENIZER_FOLDER, folder, {
    recursive: true,
    filter: (file) => !file.endsWith('.safetensors'),
  });
  const pico = await loadPico(folder);
  const layout = parameterLayout(pico.config, AUXILIARY_HEADS);
  const parameters = initialise(pico.config, layout, seed);
  const head = parameterViews(layout, parameters).get('language_model.lm_head.weight')!;
  for (let i = 0; i < head.length; i++) head[i] *= HEAD_GAIN;
  await exportCheckpoint(folder, pico, parameters);
}
