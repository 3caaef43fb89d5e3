import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** The demo page with the models and pictures of the app: `npm run demo`. */
export default defineConfig({
  root: fileURLToPath(new URL('demo/', import.meta.url)),
  publicDir: fileURLToPath(new URL('../web/public/', import.meta.url)),
  base: './',
  build: { outDir: fileURLToPath(new URL('dist/', import.meta.url)), emptyOutDir: true },
  worker: { format: 'es' },
});
