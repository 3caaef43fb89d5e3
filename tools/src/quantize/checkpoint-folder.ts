import { writeSafetensors } from '@speedq/format';
import type { TensorData } from '@speedq/format';
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FloatModelFolder } from '../model-folder.ts';
import { writeFloatCheckpoint } from '../packing/float-checkpoint.ts';
import { originalLayout } from '../packing/original-layout.ts';
import { sideFiles } from '../packing/pack-model.ts';
import type { QuantizeJob, QuantizeSummary } from './job.ts';
import type { Student } from './student.ts';

/** Inside the packed folder. */
const CHECKPOINT_FOLDER = 'checkpoint';
/** Final codes of the tensors whose rounding was learned, as packed: `<tensor>.codes`, `.meta` or `.scales`. */
const ROUNDING_FILE = 'rounding.safetensors';
const RUN_FILE = 'quantization.json';

/**
 * What other exports start from: the trained float model in its own layout, latent where it is rounded to nearest
 * and dequantized where the rounding was learned; the learned codes; and how it was made. float32, because
 * latent weights lie anywhere between codes.
 */
export async function writeCheckpointFolder(
  packedFolder: string,
  folder: FloatModelFolder,
  student: Student,
  job: QuantizeJob,
  summary: QuantizeSummary,
): Promise<void> {
  const out = join(packedFolder, CHECKPOINT_FOLDER);
  await mkdir(out);
  const { configJson, config } = folder;
  const key = 'dtype' in configJson ? 'dtype' : 'torch_dtype';
  await writeFile(join(out, 'config.json'), json({ ...configJson, [key]: 'float32' }));
  for (const file of sideFiles(folder)) await copyFile(join(folder.path, file), join(out, file));
  const source = student.tensorSource();
  const stored =
    config.layout === 'original'
      ? originalLayout(source.parameters)
      : source.parameters.map(({ name, shape }) => ({ name, shape, sources: [name] }));
  const tensors = stored.map(({ name, shape, sources }) => ({
    name,
    shape,
    chunks: () => sources.map((part) => student.parameters.get(part)!),
  }));
  await writeFloatCheckpoint(join(out, 'model.safetensors'), tensors, 'F32');
  await writeFile(join(out, ROUNDING_FILE), writeSafetensors(settledTensors(student)));
  const { recipe, stages, seed, threads } = job;
  await writeFile(join(out, RUN_FILE), json({ recipe, stages, seed, threads, ...summary }));
}

function settledTensors(student: Student): TensorData[] {
  return [...student.settled()].flatMap(([name, packed]) => {
    const words = (kind: string, data: Uint32Array): TensorData => ({
      name: `${name}.${kind}`,
      dtype: 'U32',
      shape: [data.length],
      data,
    });
    if (packed.scheme.kind === 'float') return [];
    const { codes } = packed as { readonly codes: Uint32Array };
    if ('meta' in packed) return [words('codes', codes), words('meta', packed.meta)];
    const { scales } = packed as { readonly scales: Uint16Array };
    const stored: TensorData = { name: `${name}.scales`, dtype: 'F16', shape: [scales.length], data: scales };
    return [words('codes', codes), stored];
  });
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
