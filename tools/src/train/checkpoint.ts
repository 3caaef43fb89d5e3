import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  parseSafetensors,
  requireTensor,
  SpeedqError,
  tensorBytes,
  tensorToFloats,
  writeSafetensors,
} from '@speedq/format';
import type { ParameterLayout } from './parameter-layout.ts';

/** Everything a training stage needs to go on exactly where it was. Arrays are in layout order. */
export interface TrainingState {
  readonly step: number;
  readonly parameters: Float32Array;
  readonly m: Float32Array;
  readonly v: Float32Array;
}

export const stateFile = (runs: string, stage: string) => join(runs, `${stage}.safetensors`);

/** Written beside its final name and renamed, so that a kill leaves the last whole state. */
export async function saveState(file: string, state: TrainingState): Promise<void> {
  const tensor = (name: 'parameters' | 'm' | 'v') => ({
    name,
    dtype: 'F32' as const,
    shape: [state[name].length],
    // A copy: the arrays may lie in memory that workers share.
    data: Float32Array.from(state[name]),
  });
  const bytes = writeSafetensors([tensor('parameters'), tensor('m'), tensor('v')], { step: `${state.step}` });
  await mkdir(dirname(file), { recursive: true });
  await writeFile(`${file}.partial`, bytes);
  await rename(`${file}.partial`, file);
}

/** Undefined where there is no state yet. */
export async function loadState(file: string, layout: ParameterLayout): Promise<TrainingState | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const header = parseSafetensors(bytes, file);
  const read = (name: string) => {
    const info = requireTensor(header, name, file);
    const values = tensorToFloats(tensorBytes(bytes, info), info.dtype);
    if (values.length === layout.total) return values;
    throw new SpeedqError(
      'resume-mismatch',
      `${file} holds ${values.length} parameters, this model has ${layout.total}. ` +
        'The architecture or the tokenizer changed; train into another folder.',
    );
  };
  return {
    step: Number(header.metadata.get('step') ?? 0),
    parameters: read('parameters'),
    m: read('m'),
    v: read('v'),
  };
}
