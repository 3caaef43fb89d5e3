import { SpeedqError } from '@speedq/format';
import type { PackedTensor } from '@speedq/format';
import type { ParameterSpec } from '@speedq/model';
import { join } from 'node:path';
import type { PackedModelFolder } from '../../model-folder.ts';
import { writeOutputFolder } from '../../output-folder.ts';
import { encodeTensor, ggmlType } from './ggml-blocks.ts';
import { writeGguf } from './gguf-file.ts';
import type { GgufTensor } from './gguf-file.ts';
import { languageMetadata, projectorMetadata } from './metadata.ts';
import { ggufName, isVision } from './names.ts';

export interface GgufExportOptions {
  readonly folder: PackedModelFolder;
  readonly out: string;
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onTensor?: (done: number, total: number) => void;
}

/** The two files of llama.cpp's InternVL in the output folder. */
const LANGUAGE_FILE = 'model.gguf';
const PROJECTOR_FILE = 'mmproj.gguf';

/**
 * Writes the language model and, as llama.cpp wants it, vision encoder and projector in a file of their own. Throws
 * `not-a-model` where tokenizer files are missing.
 */
export async function writeGgufFolder(options: GgufExportOptions): Promise<void> {
  const { folder, out, force, signal, onTensor } = options;
  const { parameters } = folder.tensors;
  let done = 0;
  const onOne = () => onTensor?.(++done, parameters.length);
  const tensors = async (selected: readonly ParameterSpec[]): Promise<GgufTensor[]> => {
    const list: GgufTensor[] = [];
    for (const parameter of selected) {
      signal.throwIfAborted();
      list.push(await describe(folder, parameter));
    }
    return list;
  };
  await writeOutputFolder(out, { force, marker: LANGUAGE_FILE }, async (partial) => {
    const language = parameters.filter(({ part }) => !isVision(part));
    const metadata = await languageMetadata(folder);
    await writeGguf(join(partial, LANGUAGE_FILE), metadata, await tensors(language), onOne);
    const vision = parameters.filter(({ part }) => isVision(part));
    await writeGguf(join(partial, PROJECTOR_FILE), projectorMetadata(folder), await tensors(vision), onOne);
  });
}

async function describe(folder: PackedModelFolder, { name, shape, role, part }: ParameterSpec) {
  const read = async (): Promise<PackedTensor> => folder.weights.readPacked(name);
  const stored = await read();
  const found = ggufName(name);
  if (found === undefined) throw new SpeedqError('internal', `${name} has no name in GGUF.`);
  // Vision weights are a small part of the whole and its readers expect fp16; vectors are read as float32.
  const isMatrix = role === 'linear' || role === 'conv' || role === 'embedding';
  const type = !isMatrix ? 'F32' : isVision(part) ? 'F16' : ggmlType(stored);
  return {
    name: found,
    // Class token and positions have an axis of one in front.
    shape: role === 'class-token' ? shape.slice(-1) : role === 'position' ? shape.slice(-2) : shape,
    type,
    data: async () => {
      const data = encodeTensor(await read(), type);
      return role === 'position' ? firstRowLast(data, shape.at(-2)!) : data;
    },
  } satisfies GgufTensor;
}

/** llama.cpp appends the class token to the patches and adds positions row by row; ours begin with the class token's. */
function firstRowLast(data: Uint8Array, rows: number): Uint8Array {
  const row = data.length / rows;
  const moved = new Uint8Array(data.length);
  moved.set(data.subarray(row));
  moved.set(data.subarray(0, row), data.length - row);
  return moved;
}
