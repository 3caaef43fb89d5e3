import {
  SIZE_PREFIX_BYTES,
  SpeedqError,
  parseSafetensorsHeader,
  safetensorsHeaderBytes,
} from '@speedq/format';
import type { SafetensorsHeader, TensorInfo } from '@speedq/format';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';

/** An open safetensors file of which only the header is in memory. */
export class SafetensorsFile {
  readonly path: string;
  readonly bytes: number;
  readonly header: SafetensorsHeader;
  readonly #handle: FileHandle;

  private constructor(path: string, bytes: number, header: SafetensorsHeader, handle: FileHandle) {
    this.path = path;
    this.bytes = bytes;
    this.header = header;
    this.#handle = handle;
  }

  /** Reads and checks the header. Throws `invalid-safetensors`, `file-truncated`. */
  static async open(path: string): Promise<SafetensorsFile> {
    const name = basename(path);
    const handle = await open(path);
    try {
      const { size } = await handle.stat();
      const prefix = await readAt(handle, name, 0, Math.min(SIZE_PREFIX_BYTES, size));
      const start = await readAt(handle, name, 0, safetensorsHeaderBytes(prefix, size, name));
      return new SafetensorsFile(path, size, parseSafetensorsHeader(start, size, name), handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** A tensor's bytes, or `length` of them from `start`. */
  read(info: TensorInfo, start = 0, length = info.bytes): Promise<Uint8Array> {
    return readAt(this.#handle, basename(this.path), info.offset + start, length);
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** One read call moves at most 2 GiB - 1. */
const MAX_READ = 1 << 30;

async function readAt(
  handle: FileHandle,
  file: string,
  position: number,
  length: number,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(bytes, done, Math.min(MAX_READ, length - done), position + done);
    if (bytesRead === 0) {
      throw new SpeedqError(
        'file-truncated',
        `${file}: ends at byte ${position + done}, expected ${position + length}. Download it again.`,
      );
    }
    done += bytesRead;
  }
  return bytes;
}
