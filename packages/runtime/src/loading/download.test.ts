import { createHash } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { parseRetryAfter, pauseAfter, DEFAULT_RETRY } from './backoff.ts';
import { downloadFile } from './download.ts';
import type { Fetch } from './download.ts';

const bytes = Uint8Array.from({ length: 100 }, (_, i) => i);
const file = {
  name: 'shard',
  bytes: bytes.length,
  sha256: createHash('sha256').update(bytes).digest('hex'),
};
const ignore = { onStart: () => {}, onBytes: () => {} };
const soon = { baseMilliseconds: 0 };

/** Answers one after the other; what was asked for is kept. */
function answering(...answers: (Response | Error)[]) {
  const asked: Headers[] = [];
  const fetch: Fetch = (_url, init) => {
    asked.push(new Headers(init?.headers));
    const answer = answers.shift();
    return answer instanceof Response
      ? Promise.resolve(answer)
      : Promise.reject(answer ?? new Error('unexpected'));
  };
  return { fetch, asked };
}

/** A body that breaks after its bytes. */
function broken(part: Uint8Array<ArrayBuffer>, init: ResponseInit = {}): Response {
  let sent = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent) controller.error(new TypeError('network error'));
      else controller.enqueue(part);
      sent = true;
    },
  });
  return new Response(body, init);
}

function rest(from: number, { tag = '"a"', total = 100 } = {}): Response {
  const headers = { etag: tag, 'content-range': `bytes ${from}-${total - 1}/${total}` };
  return new Response(bytes.slice(from), { status: 206, headers });
}

describe('downloadFile', () => {
  it('goes on where the connection broke, if the file is still the same', async () => {
    const { fetch, asked } = answering(broken(bytes.slice(0, 40), { headers: { etag: '"a"' } }), rest(40));
    const onStart = vi.fn();
    const got = await downloadFile(
      'http://x.test/shard',
      file,
      { ...ignore, onStart },
      { fetch, retry: soon },
    );
    expect(got).toEqual(bytes);
    expect(asked[0].get('range')).toBeNull();
    expect(asked[1].get('range')).toBe('bytes=40-');
    expect(asked[1].get('if-range')).toBe('"a"');
    expect(onStart.mock.calls).toEqual([['"a"']]);
  });

  it('asks no condition of a weak tag: it does not say that bytes are equal', async () => {
    const { fetch, asked } = answering(broken(bytes.slice(0, 40), { headers: { etag: 'W/"a"' } }), rest(40));
    expect(await downloadFile('http://x.test/shard', file, ignore, { fetch, retry: soon })).toEqual(bytes);
    expect(asked[1].get('if-range')).toBeNull();
  });

  it('begins anew where the file has changed meanwhile', async () => {
    const { fetch } = answering(
      broken(new Uint8Array(40), { headers: { etag: '"old"' } }),
      new Response(bytes, { headers: { etag: '"new"' } }),
    );
    const onStart = vi.fn();
    const got = await downloadFile(
      'http://x.test/shard',
      file,
      { ...ignore, onStart },
      { fetch, retry: soon },
    );
    expect(got).toEqual(bytes);
    expect(onStart.mock.calls).toEqual([['"old"'], ['"new"']]);
  });

  it('takes the whole file where a server without ranges sends it', async () => {
    const { fetch } = answering(broken(new Uint8Array(40)), new Response(bytes));
    const parts: Uint8Array[] = [];
    const onStart = (): void => void parts.splice(0);
    const transfer = { onStart, onBytes: (chunk: Uint8Array) => void parts.push(chunk) };
    const got = await downloadFile('http://x.test/shard', file, transfer, { fetch, retry: soon });
    expect(got).toEqual(bytes);
    expect(parts).toEqual([bytes]);
  });

  it.each([
    ['refuses the range', new Response('', { status: 416 })],
    ['continues at another place', rest(30)],
    ['continues a file of another size', rest(40, { total: 120 })],
  ])('asks for the whole file where the server %s', async (_what, second) => {
    const { fetch, asked } = answering(broken(bytes.slice(0, 40)), second, new Response(bytes));
    expect(await downloadFile('http://x.test/shard', file, ignore, { fetch, retry: soon })).toEqual(bytes);
    expect(asked[2].get('range')).toBeNull();
  });

  it('tries again after a busy answer, not after a refusal', async () => {
    const busy = answering(new Response('', { status: 503 }), new TypeError('offline'), new Response(bytes));
    expect(
      await downloadFile('http://x.test/shard', file, ignore, { fetch: busy.fetch, retry: soon }),
    ).toEqual(bytes);
    const refused = answering(new Response('', { status: 403, statusText: 'Forbidden' }));
    const failing = downloadFile('http://x.test/shard', file, ignore, { fetch: refused.fetch, retry: soon });
    await expect(failing).rejects.toMatchObject({ code: 'network', message: /403 Forbidden/ });
    expect(refused.asked).toHaveLength(1);
  });

  it('gives up after so many tries in a row that bring nothing, and counts anew after one that does', async () => {
    const nothing = (): Error => new TypeError('offline');
    const retry = { ...soon, attempts: 2 };
    const patient = answering(nothing(), broken(bytes.slice(0, 1)), nothing(), rest(1));
    expect(await downloadFile('http://x.test/shard', file, ignore, { fetch: patient.fetch, retry })).toEqual(
      bytes,
    );
    const dead = answering(nothing(), nothing(), rest(0));
    await expect(
      downloadFile('http://x.test/shard', file, ignore, { fetch: dead.fetch, retry }),
    ).rejects.toMatchObject({ code: 'network' });
    expect(dead.asked).toHaveLength(2);
  });

  it('takes a connection that brings nothing any more for broken', async () => {
    const silent = new Response(
      new ReadableStream({ start: (controller) => controller.enqueue(bytes.slice(0, 40)) }),
    );
    const { fetch } = answering(silent, rest(40));
    const retry = { ...soon, stallMilliseconds: 20 };
    expect(await downloadFile('http://x.test/shard', file, ignore, { fetch, retry })).toEqual(bytes);
  });

  it.each([
    ['waiting for an answer', () => new Promise<Response>(() => {})],
    ['the body is silent', () => Promise.resolve(new Response(new ReadableStream()))],
    ['pausing', () => Promise.resolve(new Response('', { status: 503, headers: { 'retry-after': '60' } }))],
  ])('ends at once when aborted while %s', async (_what, fetch) => {
    const controller = new AbortController();
    const { signal } = controller;
    const loading = downloadFile('http://x.test/shard', file, { ...ignore, signal }, { fetch });
    setTimeout(() => controller.abort(new Error('enough')), 20);
    await expect(loading).rejects.toThrow('enough');
  });
});

describe('pauses', () => {
  it('grow, are drawn at random, and are no shorter than the server asks', () => {
    const retry = { ...DEFAULT_RETRY, random: () => 0.5 };
    expect([1, 2, 3, 4].map((failures) => pauseAfter(failures, undefined, retry))).toEqual([
      250, 500, 1000, 2000,
    ]);
    expect(pauseAfter(40, undefined, retry)).toBe(15_000);
    expect(pauseAfter(1, 7000, retry)).toBe(7000);
  });

  it('are read from seconds and from dates', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    expect(parseRetryAfter('7', now)).toBe(7000);
    expect(parseRetryAfter('Thu, 01 Jan 2026 00:00:30 GMT', now)).toBe(30_000);
    expect(parseRetryAfter('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
    expect(parseRetryAfter('soon', now)).toBeUndefined();
    expect(parseRetryAfter(null, now)).toBeUndefined();
  });
});
