/** Serves the built chat app on localhost (`npm start`). PORT chooses the first port to try. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createStaticServer, listen } from './static-server.mjs';

const root = fileURLToPath(new URL('../web/dist/', import.meta.url));

if (!existsSync(`${root}index.html`)) {
  console.error('The chat app is not built: run `npm run build` (or `npm start`, which does).');
  process.exit(1);
}
const server = createStaticServer({ root });
const address = await listen(server, { port: Number(process.env.PORT ?? 8080) });
console.log(`speedq is at ${address}  (Ctrl+C stops it)`);
