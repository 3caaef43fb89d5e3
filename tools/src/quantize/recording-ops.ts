import type { Epilogue, Linear } from '@speedq/model';
import { OnnxOps } from '@speedq/onnx';
import type { Tensor } from '@speedq/onnx';

/** Remembers what each linear multiplies. */
export class RecordingOps extends OnnxOps {
  /** By weight: its input, [rows, columns of the weight]. */
  readonly inputs = new Map<string, Tensor>();

  override linear(x: Tensor, linear: Linear, epilogue?: Epilogue<Tensor>): Tensor {
    this.inputs.set(linear.weight, x);
    return super.linear(x, linear, epilogue);
  }
}
