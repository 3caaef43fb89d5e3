import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.jpeg': 'image/jpeg',
  '.webp': 'image/webp',
  '.wasm': 'application/wasm',
  '.txt': 'text/plain; charset=utf-8',
  '.safetensors': 'application/octet-stream',
};

/**
 * The page's policy; index.html repeats what a meta element can say, for servers that send no headers.
 * Nothing but this origin is ever asked, and only the app's one Trusted Types policy makes script URLs.
 */
export const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob:",
  "connect-src 'self'",
  "worker-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types speedq',
  "frame-ancestors 'none'",
].join('; ');

/**
 * The engine's worker alone may compile WebAssembly, which it does where WebGPU is missing: a worker goes by the headers
 * of its own script.
 */
const WORKER_POLICY = CONTENT_SECURITY_POLICY.replace(
  "script-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
);
const ENGINE_WORKER = /\/assets\/worker-[^/]*\.js$/;

/** bench.html and its worker may also load another runtime from this origin, which is WebAssembly. */
const BENCHMARK_POLICY = CONTENT_SECURITY_POLICY.replace(
  "script-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
).replace("; require-trusted-types-for 'script'; trusted-types speedq", '');
const BENCHMARK = /^\/(bench\.html|assets\/bench-[^/]*)$/;

const HEADERS = {
  'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Permissions-Policy': 'camera=(self), microphone=(), geolocation=()',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

/**
 * A server of static files for localhost. `mounts` maps URL prefixes that end in `/` to further folders
 * (a model outside the app). The caller listens and closes.
 */
export function createStaticServer({ root, mounts = {} }) {
  return createServer((request, response) => {
    handle({ root, mounts }, request, response).catch((error) => {
      console.error(error);
      if (response.headersSent) response.destroy();
      else end(response, 500, 'Internal error');
    });
  });
}

/**
 * Listens on the first free port from `port` on, on localhost alone. Resolves to the page's address.
 * A busy port is no error: another copy may be running.
 */
export function listen(server, { port = 8080, host = '127.0.0.1', tries = 50 } = {}) {
  return new Promise((resolve, reject) => {
    const attempt = (candidate, left) => {
      server.once('error', (error) => {
        if (error.code === 'EADDRINUSE' && left > 0) attempt(candidate + 1, left - 1);
        else reject(error);
      });
      server.listen(candidate, host, () => {
        server.removeAllListeners('error');
        resolve(`http://localhost:${server.address().port}/`);
      });
    };
    attempt(port, tries);
  });
}

async function handle({ root, mounts }, request, response) {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return end(response, 405, 'Only GET and HEAD', { Allow: 'GET, HEAD' });
  }
  const path = decodePath(request.url);
  if (path === undefined) return end(response, 400, 'Bad path');
  const mount = Object.keys(mounts).find((prefix) => path.startsWith(prefix));
  const folder = mount ? mounts[mount] : root;
  const inside = mount ? path.slice(mount.length) : path;
  const file = join(
    folder,
    normalize(`${sep}${inside.endsWith('/') || inside === '' ? `${inside}index.html` : inside}`),
  );
  const info = await stat(file).catch(() => undefined);
  if (!info?.isFile()) return end(response, 404, 'Not found');

  // The browser asks again each time and gets 304: a rebuilt app or model is never mixed with an old one.
  const etag = `"${info.size.toString(16)}-${Math.trunc(info.mtimeMs).toString(16)}"`;
  const headers = { ...HEADERS, ETag: etag, 'Cache-Control': 'no-cache' };
  if (ENGINE_WORKER.test(path)) headers['Content-Security-Policy'] = WORKER_POLICY;
  if (BENCHMARK.test(path)) headers['Content-Security-Policy'] = BENCHMARK_POLICY;
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(200, {
    ...headers,
    'Content-Type': TYPES[extname(file).toLowerCase()] ?? 'application/octet-stream',
    'Content-Length': info.size,
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  createReadStream(file)
    .on('error', () => response.destroy())
    .pipe(response);
}

/** The decoded path of a request, or undefined where it is no plain path. */
function decodePath(url) {
  try {
    const path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
    return path.includes('\0') || path.includes('\\') || path.split('/').includes('..') ? undefined : path;
  } catch {
    return undefined;
  }
}

function end(response, status, text, headers = {}) {
  response.writeHead(status, { ...HEADERS, 'Content-Type': 'text/plain; charset=utf-8', ...headers });
  response.end(`${text}\n`);
}
