import { SpeedqError } from '@speedq/format';

/**
 * The file in a data: address. Decoded here: a page's Content-Security-Policy may forbid fetching it.
 * @throws {SpeedqError} `invalid-argument`.
 */
export function blobOfDataUrl(url: string): Blob {
  const match = /^data:([^,;]*)((?:;[^,;]*)*),/i.exec(url);
  if (!match) {
    throw new SpeedqError(
      'invalid-argument',
      `A picture must be given as a data: address or a Blob; got ${url.slice(0, 60)}. Nothing is fetched here: ` +
        'fetch the picture yourself and pass its Blob.',
    );
  }
  const [head, type, parameters] = match;
  const body = url.slice(head.length);
  if (!/;\s*base64\s*$/i.test(parameters)) return new Blob([decodeURIComponent(body)], { type });
  return new Blob([bytesOfBase64(decodeURIComponent(body))], { type });
}

/** @throws {SpeedqError} `invalid-argument`. */
export function bytesOfBase64(base64: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  } catch (cause) {
    throw new SpeedqError('invalid-argument', 'A picture is not valid base64. Encode its bytes again.', {
      cause,
    });
  }
}
