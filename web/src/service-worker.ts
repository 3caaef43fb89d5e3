/**
 * Keeps the page's own files, so that it opens without a server. Weights never pass through here: the
 * engine keeps them in the origin private file system, verified. The list is filled in by the build.
 */
const { version, files, onDemand } = PRECACHE_LIST;

const worker = self as unknown as ServiceWorkerGlobalScope;
const cacheName = `speedq-${version}`;
const shell = new Set(files.map(addressOf));
/** Kept from the first time on that they are asked for: most browsers never need them. */
const optional = new Set(onDemand.map(addressOf));
const home = addressOf('index.html');

worker.addEventListener('install', (event) => {
  event.waitUntil(
    caches.open(cacheName).then(async (cache) => {
      const wanted = (await hadOptional()) ? [...shell, ...optional] : [...shell];
      // The browser's HTTP cache may hold files of an older build.
      await cache.addAll(wanted.map((address) => new Request(address, { cache: 'reload' })));
    }),
  );
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(removeOldCaches().then(() => worker.clients.claim()));
});

// A new version waits: it takes over when the page says that no answer is coming.
worker.addEventListener('message', (event) => {
  const { data } = event;
  if (data === 'take-over') void worker.skipWaiting();
  // The first visit's page fetched them before this worker had a say.
  if (data === 'keep-on-demand') event.waitUntil(keepOptional());
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
  return shell.has(url.href) || optional.has(url.href) ? url.href : undefined;
}

async function fromCache(address: string, request: Request): Promise<Response> {
  const cache = await caches.open(cacheName);
  const kept = await cache.match(address);
  if (kept) return kept;
  const response = await fetch(request);
  if (optional.has(address) && response.ok) await cache.put(address, response.clone());
  return response;
}

async function keepOptional(): Promise<void> {
  const cache = await caches.open(cacheName);
  for (const address of optional) if (!(await cache.match(address))) await cache.add(address);
}

/** Whether an older version kept files on demand: then this one must not need the server for its own. */
async function hadOptional(): Promise<boolean> {
  for (const name of (await caches.keys()).filter((key) => key.startsWith('speedq-') && key !== cacheName)) {
    const kept = await (await caches.open(name)).keys();
    if (kept.some(({ url }) => /\/wasm-engine-[^/]*\.js$/.test(url))) return true;
  }
  return false;
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
