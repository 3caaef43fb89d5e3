import { elementCount, parameterInventory, parseConfig } from '@speedq/model';
import type { ParameterSpec } from '@speedq/model';
import { synthesizeTokenizerJson } from '@speedq/processor';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { modelConfigText } from './json-file.ts';
import { writeOutputFolder } from './output-folder.ts';
import { writeFloatCheckpoint } from './packing/float-checkpoint.ts';
import { originalLayout } from './packing/original-layout.ts';
import { RELEASED_PREPROCESSOR, releasedConfig } from './random-model/released-shapes.ts';
import type { ReleasedShape } from './random-model/released-shapes.ts';
import { syntheticVocabulary } from './random-model/synthetic-tokenizer.ts';

export interface RandomModelOptions extends ReleasedShape {
  readonly outDir: string;
  readonly seed: number;
  readonly force?: boolean;
  readonly onTensor?: (done: number, total: number) => void;
}

/**
 * Writes a bf16 model folder of a released model's shapes with random weights, to exercise at real size what
 * needs no trained model. The weights depend on the seed and the canonical names alone: both layouts hold the
 * same model.
 */
export async function writeRandomModel(options: RandomModelOptions): Promise<void> {
  const { outDir, seed, force, onTensor, layout } = options;
  const configJson = releasedConfig(options);
  const parameters = parameterInventory(parseConfig(configJson));
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const stored =
    layout === 'original'
      ? originalLayout(parameters)
      : parameters.map(({ name, shape }) => ({ name, shape, sources: [name] }));
  await writeOutputFolder(outDir, { force, marker: 'config.json' }, async (folder) => {
    const writeJson = (name: string, value: unknown) =>
      writeFile(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
    await writeFile(join(folder, 'config.json'), modelConfigText(configJson));
    const { vocab, merges, addedTokens } = syntheticVocabulary();
    if (layout === 'original') {
      await writeJson('vocab.json', vocab);
      await writeFile(join(folder, 'merges.txt'), merges);
      await writeJson('added_tokens.json', addedTokens);
      await writeJson('generation_config.json', { _from_model_config: true });
    } else {
      await writeJson('tokenizer.json', synthesizeTokenizerJson(vocab, merges, addedTokens));
      await writeJson('preprocessor_config.json', RELEASED_PREPROCESSOR);
      await writeJson('generation_config.json', { bos_token_id: 151_643, eos_token_id: 151_645 });
    }
    const tensors = stored.map(({ name, shape, sources }) => ({
      name,
      shape,
      chunks: function* () {
        for (const source of sources) yield* randomValues(byName.get(source)!, seed);
      },
    }));
    await writeFloatCheckpoint(join(folder, 'model.safetensors'), tensors, 'BF16', onTensor);
  });
}

const CHUNK = 1 << 20;

/** Weights that keep activations near unit size: mean and deviation by role. */
function distribution({ role, shape }: ParameterSpec): readonly [mean: number, deviation: number] {
  switch (role) {
    case 'linear':
    case 'conv':
      return [0, 1 / Math.sqrt(elementCount(shape.slice(1)))];
    case 'norm':
      return [1, 0.1];
    case 'layer-scale':
      return [0.5, 0.1];
    case 'bias':
    case 'position':
    case 'class-token':
    case 'embedding':
      return [0, 0.1];
  }
}

/** Bell-shaped values, one random word each: the sum of its four bytes. */
function* randomValues(parameter: ParameterSpec, seed: number): Generator<Float32Array> {
  const [mean, deviation] = distribution(parameter);
  let state = hash(`${seed} ${parameter.name}`) || 1;
  // Four bytes sum to 510 on average with a variance of 4·(256² - 1)/12.
  const factor = deviation / Math.sqrt((256 ** 2 - 1) / 3);
  for (let left = elementCount(parameter.shape); left > 0; left -= CHUNK) {
    const values = new Float32Array(Math.min(CHUNK, left));
    for (let i = 0; i < values.length; i++) {
      // xorshift32
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      const bytes = (state & 255) + ((state >>> 8) & 255) + ((state >>> 16) & 255) + (state >>> 24);
      values[i] = mean + (bytes - 510) * factor;
    }
    yield values;
  }
}

/** FNV-1a */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}
