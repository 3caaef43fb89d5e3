/**
 * Writer for the protocol-buffer wire format, just what ONNX messages need.
 * Source: protobuf encoding specification (varint, 32-bit, length-delimited).
 */
export class ProtobufWriter {
  private readonly chunks: Uint8Array[] = [];
  private byteLength = 0;

  int(field: number, value: number | bigint): this {
    return this.varint(BigInt(field) << 3n).varint(BigInt.asUintN(64, BigInt(value)));
  }

  float(field: number, value: number): this {
    this.varint((BigInt(field) << 3n) | 5n);
    return this.append(new Uint8Array(new Float32Array([value]).buffer));
  }

  bytes(field: number, value: Uint8Array): this {
    this.varint((BigInt(field) << 3n) | 2n).varint(BigInt(value.byteLength));
    return this.append(value);
  }

  string(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  message(field: number, message: ProtobufWriter): this {
    this.varint((BigInt(field) << 3n) | 2n).varint(BigInt(message.byteLength));
    for (const chunk of message.chunks) this.append(chunk);
    return this;
  }

  finish(): Uint8Array {
    const result = new Uint8Array(this.byteLength);
    let offset = 0;
    for (const chunk of this.chunks) {
      result.set(chunk, offset);
      offset += chunk.byteLength;
    }
    return result;
  }

  private varint(value: bigint): this {
    const bytes: number[] = [];
    while (value > 127n) {
      bytes.push(Number(value & 127n) | 128);
      value >>= 7n;
    }
    bytes.push(Number(value));
    return this.append(Uint8Array.from(bytes));
  }

  private append(chunk: Uint8Array): this {
    this.chunks.push(chunk);
    this.byteLength += chunk.byteLength;
    return this;
  }
}
