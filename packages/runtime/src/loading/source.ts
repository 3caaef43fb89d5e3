import type { ManifestFile } from '@speedq/format';

/** Where a model's files come from, unverified: a server, or files of this device. */
export interface ModelSource {
  /** Where that is, for messages. */
  readonly place: string;
  /** @throws {SpeedqError} `network`, `not-a-model`; the signal's reason. */
  manifest(options: {
    readonly isKept: boolean;
    readonly signal?: AbortSignal;
  }): Promise<Uint8Array<ArrayBuffer>>;
  /** A file of the manifest, of the size it gives. @throws {SpeedqError} as `manifest`, `file-truncated`. */
  file(file: ManifestFile, transfer: Transfer): Promise<Uint8Array<ArrayBuffer>>;
}

/** One file on its way. */
export interface Transfer {
  readonly signal?: AbortSignal;
  /** Its beginning, from a visit that was cut short. Taken over: do not use it afterwards. */
  readonly resume?: { readonly bytes: Uint8Array<ArrayBuffer>; readonly validator: string | undefined };
  /** What was sent before was damaged: caches must be passed by. */
  readonly fresh?: boolean;
  /** The file comes from its first byte on, also where some of it had come; `validator` names its version. */
  readonly onStart: (validator: string | undefined) => void | Promise<void>;
  /** The next bytes. */
  readonly onBytes: (bytes: Uint8Array<ArrayBuffer>) => void | Promise<void>;
}
