import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createStaticServer, listen } from '../scripts/static-server.mjs';

describe('the server of npm start', () => {
  let folder: string;
  let server: Server;
  let url: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'speedq-server-'));
    await mkdir(join(folder, 'root/assets'), { recursive: true });
    await mkdir(join(folder, 'model'));
    await writeFile(join(folder, 'root/index.html'), '<h1>app</h1>');
    await writeFile(join(folder, 'root/assets/a.js'), 'export {};');
    await writeFile(join(folder, 'model/config.json'), '{"a":1}');
    await writeFile(join(folder, 'secret.txt'), 'secret');
    server = createStaticServer({
      root: join(folder, 'root'),
      mounts: { '/models/mine/': join(folder, 'model') },
    });
    url = await listen(server, { port: 18200 });
  });

  afterAll(async () => {
    server.close();
    server.closeAllConnections();
    await rm(folder, { recursive: true });
  });

  it.each([
    ['', 'text/html; charset=utf-8', '<h1>app</h1>'],
    ['index.html?x=1', 'text/html; charset=utf-8', '<h1>app</h1>'],
    ['assets/a.js', 'text/javascript; charset=utf-8', 'export {};'],
    ['models/mine/config.json', 'application/json; charset=utf-8', '{"a":1}'],
  ])('serves /%s', async (path, type, body) => {
    const response = await fetch(url + path);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe(type);
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    expect(await response.text()).toBe(body);
  });

  it.each(['missing', 'assets', 'models/mine/', 'models/other/config.json'])('404 for /%s', async (path) => {
    expect((await fetch(url + path)).status).toBe(404);
  });

  // fetch would resolve the dots before sending.
  it.each([
    '/../secret.txt',
    '/%2e%2e/secret.txt',
    '/assets/..%2f..%2fsecret.txt',
    '/models/mine/../../secret.txt',
    '/models/mine/..%5c..%5csecret.txt',
    '/%00',
    '/%zz',
  ])('never leaves its folders: %s', async (path) => {
    const { status, body } = await get(path);
    expect([400, 404]).toContain(status);
    expect(body).not.toContain('secret');
  });

  it('only reads', async () => {
    expect((await fetch(url, { method: 'POST', body: 'x' })).status).toBe(405);
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe('12');
    expect(await head.text()).toBe('');
  });

  it('answers 304 to whoever has the file', async () => {
    const etag = (await fetch(url)).headers.get('etag')!;
    const again = await fetch(url, { headers: { 'if-none-match': etag }, cache: 'no-store' });
    expect(again.status).toBe(304);
  });

  it('takes the next port when one is busy', async () => {
    const second = createStaticServer({ root: folder });
    const { port } = server.address() as AddressInfo;
    expect(await listen(second, { port })).not.toBe(url);
    second.close();
  });

  function get(path: string): Promise<{ status: number | undefined; body: string }> {
    const { port } = server.address() as AddressInfo;
    return new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port, path }, (response) => {
        let body = '';
        response.on('data', (chunk) => (body += chunk));
        response.on('end', () => resolve({ status: response.statusCode, body }));
      })
        .on('error', reject)
        .end();
    });
  }
});
