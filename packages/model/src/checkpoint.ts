import { SpeedqError } from '@speedq/format';
import type { InternVLConfig } from './config.ts';
import { EMBEDDING, HEAD } from './forward.ts';
import { elementCount, parameterInventory } from './inventory.ts';
import type { ParameterSpec } from './inventory.ts';
import { canonicalNames } from './tensor-names.ts';
import type { RowBlock } from './tensor-names.ts';

/** A checkpoint as it is stored, under whatever names it uses. Nothing is read before it is asked for. */
export interface RawTensorSource {
  names(): readonly string[];
  shape(name: string): readonly number[];
  /** All values in row-major order, widened to float32. */
  read(name: string): Promise<Float32Array>;
  /** Rows start…end-1 of the first dimension; where absent, the whole tensor is read and cut. */
  readRows?(name: string, start: number, end: number): Promise<Float32Array>;
}

/** A checkpoint under canonical names: exactly the inventory of its configuration, shapes checked. */
export interface TensorSource {
  readonly parameters: readonly ParameterSpec[];
  /** The head is the embedding table: both names read the same values. */
  readonly headIsTied: boolean;
  /** Throws `missing-tensor` for a name outside the inventory. */
  parameter(name: string): ParameterSpec;
  read(name: string): Promise<Float32Array>;
  readRows(name: string, start: number, end: number): Promise<Float32Array>;
}

interface Location {
  readonly stored: string;
  readonly block?: RowBlock;
}

/**
 * Finds every parameter of `config` in `raw`, whichever of the known namings it uses, fused or not.
 *
 * Throws `missing-tensor` (names those that are missing), `shape-mismatch` (expected and found),
 * `unexpected-tensor` (what the configuration has no place for, or one parameter stored twice).
 */
export function canonicalTensors(raw: RawTensorSource, config: InternVLConfig): TensorSource {
  const locations = locate(raw);
  const parameters = parameterInventory(config);
  const headIsTied = config.mayTieHead && !locations.has(HEAD);
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const embedding = locations.get(EMBEDDING);
  if (headIsTied && embedding !== undefined) locations.set(HEAD, embedding);

  const missing = parameters.map(({ name }) => name).filter((name) => !locations.has(name));
  if (missing.length > 0) {
    throw new SpeedqError(
      'missing-tensor',
      `The checkpoint lacks ${count(missing, parameters.length)} that its config.json asks for: ` +
        `${list(missing)}. Download the folder again; if it is sharded, check that every shard is there.`,
    );
  }
  for (const parameter of parameters) checkShape(raw, parameter, locations.get(parameter.name)!);
  const leftover = [...locations].flatMap(([name, { stored }]) => (byName.has(name) ? [] : [stored]));
  if (leftover.length > 0) {
    throw new SpeedqError(
      'unexpected-tensor',
      `The checkpoint has ${count(leftover, raw.names().length)} that its config.json has no place for: ` +
        `${list(leftover)}. config.json and weights are probably not of the same model (number of layers?).`,
    );
  }

  const parameter = (name: string): ParameterSpec => {
    const spec = byName.get(name);
    if (spec === undefined) {
      throw new SpeedqError('missing-tensor', `The model has no parameter named ${JSON.stringify(name)}.`);
    }
    return spec;
  };
  const readRows = async (name: string, start: number, end: number): Promise<Float32Array> => {
    const { shape } = parameter(name);
    const { stored, block } = locations.get(name)!;
    const first = block === undefined ? 0 : block.index * shape[0];
    if (raw.readRows !== undefined) return raw.readRows(stored, first + start, first + end);
    const rowLength = elementCount(shape.slice(1));
    return (await raw.read(stored)).slice((first + start) * rowLength, (first + end) * rowLength);
  };
  return {
    parameters,
    headIsTied,
    parameter,
    readRows,
    async read(name) {
      const { shape } = parameter(name);
      const { stored, block } = locations.get(name)!;
      return block === undefined ? raw.read(stored) : readRows(name, 0, shape[0]);
    },
  };
}

function locate(raw: RawTensorSource): Map<string, Location> {
  const locations = new Map<string, Location>();
  for (const stored of raw.names()) {
    for (const { name, block } of canonicalNames(stored)) {
      const other = locations.get(name);
      if (other !== undefined) {
        throw new SpeedqError(
          'unexpected-tensor',
          `The checkpoint stores ${name} twice, as ${other.stored} and as ${stored}. ` +
            'Remove the file or shard that does not belong to it.',
        );
      }
      locations.set(name, { stored, block });
    }
  }
  return locations;
}

function checkShape(raw: RawTensorSource, { name, shape }: ParameterSpec, { stored, block }: Location): void {
  const found = raw.shape(stored);
  const expected = block === undefined ? shape : [shape[0] * block.of, ...shape.slice(1)];
  if (found.length === expected.length && found.every((size, i) => size === expected[i])) return;
  throw new SpeedqError(
    'shape-mismatch',
    `${stored}${stored === name ? '' : ` (${name})`}: expected shape [${expected.join(', ')}] from config.json, ` +
      `found [${found.join(', ')}]. config.json and weights are not of the same model.`,
  );
}

function count(names: readonly string[], total: number): string {
  return `${names.length} of ${total} tensors`;
}

function list(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown}, …` : shown;
}
