import type { Fetch } from '../loading/download.ts';
import { MODEL_URL } from './served-model.ts';

export interface FakeServerOptions {
  /** Whether it understands range requests. */
  readonly ranges?: boolean;
  /** Whether it names versions of files. */
  readonly tags?: boolean;
  readonly announce?: boolean;
  readonly chunkBytes?: number;
  /** After how many bytes of a shard's answer, and how, the connection breaks. */
  readonly cut?: (
    name: string,
    length: number,
  ) => { readonly after: number; readonly silently: boolean } | undefined;
}

/** A server in this process that breaks connections when told to, and counts what it sends. */
export class FakeServer {
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Bytes sent by file. */
  readonly sent = new Map<string, number>();
  readonly requests: { readonly name: string; readonly range: string | null; readonly status: number }[] = [];
  options: FakeServerOptions;

  constructor(files: ReadonlyMap<string, Uint8Array<ArrayBuffer>>, options: FakeServerOptions = {}) {
    this.files = files;
    this.options = options;
  }

  readonly fetch: Fetch = (url, init) => {
    const { ranges = true, tags = true, announce = true, chunkBytes = 1000, cut } = this.options;
    const name = url.slice(MODEL_URL.length);
    const whole = this.files.get(name);
    const headers = new Headers(init?.headers);
    const range = headers.get('range');
    const answer = (
      status: number,
      body: BodyInit | null,
      more: Record<string, string> = {},
    ): Promise<Response> => {
      this.requests.push({ name, range, status });
      return Promise.resolve(new Response(body, { status, headers: more }));
    };
    if (!whole) return answer(404, '');
    const tag = `"${name}-${whole.reduce((sum, byte) => (sum * 31 + byte) % 65_521, 7)}"`;
    let bytes = whole;
    let status = 200;
    const answerHeaders: Record<string, string> = {};
    if (tags) answerHeaders.etag = tag;
    const start = /^bytes=(\d+)-$/.exec(range ?? '')?.[1];
    const condition = headers.get('if-range');
    if (ranges && start !== undefined && (condition === null || condition === tag)) {
      if (Number(start) >= whole.length) return answer(416, '');
      bytes = whole.slice(Number(start));
      status = 206;
      answerHeaders['content-range'] = `bytes ${start}-${whole.length - 1}/${whole.length}`;
    }
    if (announce) answerHeaders['content-length'] = String(bytes.length);
    const broken = cut?.(name, bytes.length);
    const end = Math.min(broken?.after ?? bytes.length, bytes.length);
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        if (at < end) {
          const chunk = bytes.slice(at, Math.min(at + chunkBytes, end));
          at += chunk.length;
          this.sent.set(name, (this.sent.get(name) ?? 0) + chunk.length);
          controller.enqueue(chunk);
        } else if (broken && !broken.silently) controller.error(new TypeError('network error'));
        else controller.close();
      },
    });
    return answer(status, body, answerHeaders);
  };
}
