import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parameterInventory } from '@speedq/model';
import { modelConfigText } from '../json-file.ts';
import { writeFloatCheckpoint } from '../packing/float-checkpoint.ts';
import { RELEASED_PREPROCESSOR } from '../random-model/released-shapes.ts';
import { parameterLayout, parameterViews } from './parameter-layout.ts';
import { AUXILIARY_HEADS, type Pico } from './pico.ts';

/**
 * Writes parameters as a plain InternVL folder (Hugging Face layout, bf16) beside the tokenizer that is
 * in it already. The auxiliary heads stay behind.
 */
export async function exportCheckpoint(folder: string, pico: Pico, parameters: Float32Array): Promise<void> {
  const { config, configJson } = pico;
  const views = parameterViews(parameterLayout(config, AUXILIARY_HEADS), parameters);
  const tensors = parameterInventory(config).map(({ name, shape }) => ({
    name,
    shape,
    chunks: () => [views.get(name)!],
  }));
  const partial = join(folder, 'model.safetensors.partial');
  await rm(partial, { force: true });
  await writeFloatCheckpoint(partial, tensors, 'BF16');
  const json = (name: string, value: unknown) =>
    writeFile(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
  await writeFile(join(folder, 'config.json'), modelConfigText(configJson));
  await json('generation_config.json', {
    bos_token_id: configJson.text_config.bos_token_id,
    eos_token_id: configJson.text_config.eos_token_id,
  });
  await json('preprocessor_config.json', {
    ...RELEASED_PREPROCESSOR,
    // Pico has seen single tiles only.
    max_patches: 1,
    size: { height: config.vision.imageSize, width: config.vision.imageSize },
  });
  await json('processor_config.json', {
    image_seq_length: config.tokensPerTile,
    processor_class: 'InternVLProcessor',
  });
  await rename(partial, join(folder, 'model.safetensors'));
}
