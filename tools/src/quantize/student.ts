import {
  dequantizeBilevel,
  dequantizeSymmetric,
  packBilevel,
  packSymmetric,
  quantizeBilevelTensor,
  quantizeSymmetric,
  roundToHalf,
  chooseFloatScheme,
} from '@speedq/format';
import type { BilevelScheme, BilevelTensor, PackedTensor } from '@speedq/format';
import type { ModelPart, ParameterSpec, TensorSource } from '@speedq/model';
import type { Parameters } from '@speedq/onnx';
import type { ResolvedScheme } from '../recipes/resolve-schemes.ts';
import type { RecipeFixes } from '../recipes/schema.ts';
import { ParameterStore } from './parameter-store.ts';

/**
 * The model that is being quantized: float values of every parameter, as the stages see them, and the final
 * codes of those that are settled.
 */
export class Student {
  /** What a forward pass multiplies with: dequantized where settled, latent where still trained. */
  readonly parameters: ParameterStore;
  /** Float weights that settled codes are the rounding of, where training goes on from them. */
  readonly latents: ParameterStore;
  private readonly packed = new Map<string, PackedTensor>();
  private readonly specs: ReadonlyMap<string, ParameterSpec>;

  constructor(
    private readonly source: TensorSource,
    private readonly schemes: ReadonlyMap<string, ResolvedScheme>,
    private readonly fixes: RecipeFixes,
    original: Parameters,
    /** For what does not fit into memory. */
    folder: string,
  ) {
    // Arrays are the original's until they change.
    this.parameters = new ParameterStore({ folder, base: original });
    this.latents = new ParameterStore({ folder });
    this.specs = new Map(source.parameters.map((spec) => [spec.name, spec]));
    if (fixes.storedArithmetic) this.roundFloats();
  }

  spec(name: string): ParameterSpec {
    return this.specs.get(name)!;
  }

  /** Names of the model's parameters, and of those that learned scales add for a while. */
  allNames(): ReadonlySet<string> {
    return new Set([...this.source.parameters.map(({ name }) => name), ...this.parameters.keys()]);
  }

  /** Names of the tensors of some parts. */
  namesOf(...parts: readonly ModelPart[]): string[] {
    return this.source.parameters.flatMap(({ name, part }) => (parts.includes(part) ? [name] : []));
  }

  /** Names of a part's tensors that are stored in bilevel codes. */
  bilevelNames(part: ModelPart): string[] {
    return this.source.parameters.flatMap(({ name, part: own }) =>
      own === part && this.bilevelScheme(name) !== undefined ? [name] : [],
    );
  }

  bilevelScheme(name: string): BilevelScheme | undefined {
    const scheme = this.schemes.get(name);
    return scheme !== undefined && scheme !== 'float' && scheme.kind === 'bilevel' ? scheme : undefined;
  }

  setBilevel(name: string, tensor: BilevelTensor): void {
    this.settle(name, packBilevel(tensor, name), dequantizeBilevel(tensor.codes, tensor));
  }

  /** Settles a tensor; `values` are what its codes stand for. */
  settle(name: string, packed: PackedTensor, values: Float32Array): void {
    this.packed.set(name, packed);
    this.parameters.set(name, values);
  }

  /** Rounds a part's linears to nearest. */
  roundToNearest(part: ModelPart): void {
    for (const name of this.bilevelNames(part)) {
      const [rows, columns] = this.spec(name).shape;
      const options = { name, reference: !this.fixes.storedArithmetic };
      this.setBilevel(
        name,
        quantizeBilevelTensor(this.parameters.get(name)!, rows, columns, this.bilevelScheme(name)!, options),
      );
    }
  }

  /**
   * Quantizes the embedding table, the head and whatever else is stored symmetrically. The reference does this
   * at each stage anew, and its arithmetic shrinks the values every time.
   */
  quantizeTables(): void {
    for (const { name, shape } of this.source.parameters) {
      const scheme = this.schemes.get(name);
      if (scheme === undefined || scheme === 'float' || scheme.kind !== 'symmetric') continue;
      const once = this.fixes.quantizeTablesOnce;
      if (once && this.packed.has(name)) continue;
      const [rows, columns] = shape;
      const options = { name, reference: !once };
      const tensor = quantizeSymmetric(this.parameters.get(name)!, rows, columns, scheme, options);
      this.settle(name, packSymmetric(tensor, name), dequantizeSymmetric(tensor));
    }
  }

  /** Takes back a tensor's final codes: `values` are trained on. */
  unsettle(name: string, values: Float32Array): void {
    this.packed.delete(name);
    this.parameters.set(name, values);
  }

  /** Final codes, where there are any. */
  packedTensor(name: string): PackedTensor | undefined {
    return this.packed.get(name);
  }

  settled(): ReadonlyMap<string, PackedTensor> {
    return this.packed;
  }

  /** The present values as a checkpoint. */
  tensorSource(): TensorSource {
    const { source, parameters } = this;
    const read = (name: string) => {
      source.parameter(name);
      return parameters.get(name)!;
    };
    return {
      parameters: source.parameters,
      headIsTied: source.headIsTied,
      parameter: (name) => source.parameter(name),
      read: (name) => Promise.resolve(read(name)),
      readRows: (name, start, end) => {
        const { shape } = source.parameter(name);
        const width = shape.slice(1).reduce((product, size) => product * size, 1);
        return Promise.resolve(read(name).subarray(start * width, end * width));
      },
    };
  }

  /** Tensors that stay float are stored in fp16: what is trained around them is what is shipped. */
  private roundFloats(): void {
    for (const { name } of this.source.parameters) {
      if (this.schemes.get(name) !== 'float') continue;
      const values = this.parameters.get(name)!;
      if (chooseFloatScheme(values).dtype === 'f16') this.parameters.set(name, values.map(roundToHalf));
    }
  }
}
