/**
 * Keeps the page's own files, so that it opens without a server. Weights never pass through here: the
 * engine keeps them in the origin private file system, verified. The list is filled in by the build.
 */
const { version, files } = PRECACHE_LIST;

const worker = self as unknown as ServiceWorkerGlobalScope;
const cacheName = `speedq-${version}`;
const shell = new Set(files.map(addressOf));
const home = addressOf('index.html');

worker.addEventListener('install', (event) => {
  event.waitUntil(
    caches.open(cacheName).then((cache) =>
      // The browser's HTTP cache may hold files of an older build.
      cache.addAll([...shell].map((address) => new Request(address, { cache: 'reload' }))),
    ),
  );
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(removeOldCaches().then(() => worker.clients.claim()));
});

// A new version waits: it takes over when the page says that no answer is coming.
worker.addEventListener('message', ({ data }) => {
  if (data === 'take-over') void worker.skipWaiting();
});

worker.addEventListener('fetch', (event) => {
  const address = shellAddress(event.request);
  if (address !== undefined) event.respondWith(fromCache(address, event.request));
});

/** Where in the shell a request is answered, or undefined for everything that is none of our business. */
function shellAddress(request: Request): string | undefined {
  if (request.method !== 'GET') return undefined;
  const url = new URL(request.url);
  url.search = '';
  url.hash = '';
  if (request.mode === 'navigate' && url.href === addressOf('')) return home;
  return shell.has(url.href) ? url.href : undefined;
}

async function fromCache(address: string, request: Request): Promise<Response> {
  const cache = await caches.open(cacheName);
  return (await cache.match(address)) ?? fetch(request);
}

async function removeOldCaches(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith('speedq-') && name !== cacheName);
  await Promise.all(old.map((name) => caches.delete(name)));
}

function addressOf(file: string): string {
  return new URL(file, worker.registration.scope).href;
}

export {};
