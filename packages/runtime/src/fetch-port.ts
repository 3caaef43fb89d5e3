/** A page's own `fetch` for its engine's worker: a function cannot go there, the messages of one can. */
import type { Fetch } from './loading/download.ts';

interface Request {
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly cache?: RequestCache;
}

/** What goes back through a request's own port. */
type Reply =
  | {
      readonly status: number;
      readonly statusText: string;
      readonly headers: readonly (readonly [string, string])[];
    }
  | { readonly bytes: Uint8Array<ArrayBuffer> | undefined }
  | { readonly failed: string };

/** Asks for the next bytes, or for no more. */
type Wish = 'more' | 'stop';

/** Answers what `portFetch` asks at the other end of `port`, until it is closed. */
export function serveFetch(port: MessagePort, fetch: Fetch): void {
  port.addEventListener('message', ({ data, ports: [answer] }: MessageEvent<Request>) => {
    void answerRequest(data, answer, fetch);
  });
  port.start();
}

async function answerRequest(
  { url, headers, cache }: Request,
  answer: MessagePort,
  fetch: Fetch,
): Promise<void> {
  const stopping = new AbortController();
  const send = (reply: Reply): void => answer.postMessage(reply);
  const failed = (error: unknown): void => send({ failed: String(error) });
  let body: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> | undefined;
  const sendMore = async (): Promise<void> => {
    const next = await body?.read();
    // A copy: the page's function may have given a view of something larger.
    send({ bytes: next?.value?.slice() });
  };
  answer.addEventListener('message', ({ data }: MessageEvent<Wish>) => {
    if (data === 'more') return void sendMore().catch(failed);
    stopping.abort();
    body?.cancel().catch(() => {});
    answer.close();
  });
  answer.start();
  try {
    const init = { headers: headers.map(([name, value]): [string, string] => [name, value]), cache };
    const response = await fetch(url, { ...init, signal: stopping.signal });
    body = response.body?.getReader();
    if (stopping.signal.aborted) await body?.cancel();
    const { status, statusText } = response;
    send({ status, statusText, headers: [...response.headers] });
  } catch (error) {
    failed(error);
  }
}

/** A `fetch` whose requests are made at the other end of `port`. Takes of `init`: headers, cache and signal. */
export function portFetch(port: MessagePort): Fetch {
  return (url, { headers, cache, signal } = {}) =>
    new Promise((resolve, reject) => {
      const { port1: answer, port2 } = new MessageChannel();
      const want = (wish: Wish): void => answer.postMessage(wish);
      let fail: (reason: unknown) => void = reject;
      let take: (bytes: Uint8Array<ArrayBuffer> | undefined) => void = () => {};
      const end = (): void => {
        signal?.removeEventListener('abort', abort);
        answer.close();
      };
      const stop = (): void => {
        want('stop');
        end();
      };
      const abort = (): void => {
        stop();
        fail(signal?.reason);
      };
      const bodyOf = (): ReadableStream<Uint8Array<ArrayBuffer>> =>
        new ReadableStream(
          {
            start: (controller) => {
              fail = (reason) => controller.error(reason);
            },
            pull: (controller) =>
              new Promise((pulled) => {
                take = (bytes) => {
                  if (bytes) controller.enqueue(bytes);
                  else {
                    end();
                    controller.close();
                  }
                  pulled();
                };
                want('more');
              }),
            cancel: stop,
          },
          // Nothing is asked for before somebody reads.
          { highWaterMark: 0 },
        );
      answer.addEventListener('message', ({ data }: MessageEvent<Reply>) => {
        if ('failed' in data) {
          end();
          return fail(new TypeError(data.failed));
        }
        if ('bytes' in data) return take(data.bytes);
        const { status, statusText } = data;
        const hasBody = ![204, 205, 304].includes(status);
        let response: Response;
        try {
          const replied = new Headers(data.headers.map(([name, value]): [string, string] => [name, value]));
          response = new Response(hasBody ? bodyOf() : null, { status, statusText, headers: replied });
        } catch (error) {
          // What only the browser may make, such as an opaque answer.
          stop();
          return reject(error);
        }
        resolve(response);
        if (!hasBody) stop();
      });
      answer.start();
      if (signal?.aborted) return abort();
      signal?.addEventListener('abort', abort, { once: true });
      const request: Request = { url, headers: [...new Headers(headers)], cache };
      port.postMessage(request, [port2]);
    });
}
