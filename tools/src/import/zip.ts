/** A file of a ZIP archive that is stored as it is: torch.save compresses nothing. */
const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;
const MAX_COMMENT = 0xffff;
/** In place of a 32-bit number: the real one stands in a ZIP64 record. */
const ZIP64 = 0xffffffff;

/**
 * The entries of an archive by name, as views into it. `fail` throws the caller's typed error.
 */
export function readStoredZip(
  bytes: Uint8Array,
  fail: (message: string) => never,
): ReadonlyMap<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const need = (start: number, length: number, what: string): void => {
    if (start < 0 || start + length > bytes.length) fail(`${what} lies outside the file`);
  };
  let end = bytes.length - END_BYTES;
  const last = Math.max(0, end - MAX_COMMENT);
  while (end >= last && view.getUint32(end, true) !== END) end--;
  if (end < last) return fail('it is no ZIP archive, as torch.save writes since PyTorch 1.6');
  const count = view.getUint16(end + 10, true);
  let at = view.getUint32(end + 16, true);
  const entries = new Map<string, Uint8Array>();
  for (let i = 0; i < count; i++) {
    need(at, CENTRAL_BYTES, 'its directory');
    if (view.getUint32(at, true) !== CENTRAL) fail('its directory is damaged');
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((offset) =>
      view.getUint16(at + offset, true),
    );
    const size = view.getUint32(at + 24, true);
    const local = view.getUint32(at + 42, true);
    need(at, CENTRAL_BYTES + nameBytes, 'its directory');
    const name = new TextDecoder().decode(bytes.subarray(at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameBytes));
    if (view.getUint16(at + 10, true) !== 0) fail(`${name} is compressed`);
    if (size === ZIP64 || local === ZIP64) fail(`${name} lies beyond 4 GiB`);
    need(local, LOCAL_BYTES, name);
    if (view.getUint32(local, true) !== LOCAL) fail(`${name} is not where the directory says`);
    const start = local + LOCAL_BYTES + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    need(start, size, name);
    entries.set(name, bytes.subarray(start, start + size));
    at += CENTRAL_BYTES + nameBytes + extraBytes + commentBytes;
  }
  return entries;
}
