import { SpeedqError } from '@speedq/format';
import { existsSync } from 'node:fs';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createStaticServer, listen } from '../../../scripts/static-server.mjs';
import { defineCommand } from '../cli/command.ts';
import { requirePacked, withModelFolder } from '../model-folder.ts';

const appFolder = fileURLToPath(new URL('../../../web/dist/', import.meta.url));

/** The name in the page's address: `?model=served`. */
const SERVED = 'served';

export const serve = defineCommand({
  args: { model: { description: 'folder of a packed model (default: the embedded pico)', optional: true } },
  options: {
    port: { type: 'integer', min: 1, max: 65_535, default: 8080, description: 'first port to try' },
  },
  details: 'Serves the chat app on localhost until it is interrupted. Build it once with `npm run build`.',
  async run({ args, options, output, signal }) {
    if (!existsSync(`${appFolder}index.html`)) {
      throw new SpeedqError('not-a-model', 'The chat app is not built. Run `npm run build` first.');
    }
    const mounts: Record<string, string> = {};
    if (args.model !== undefined) {
      await withModelFolder(args.model, (folder) => {
        requirePacked(folder);
        mounts[`/models/${SERVED}/`] = folder.path;
        return Promise.resolve();
      });
    }
    const server = createStaticServer({ root: appFolder, mounts });
    const origin = await listen(server, { port: options.port });
    const address = args.model === undefined ? origin : `${origin}?model=${SERVED}`;
    output.print(address);
    output.event('listening', { address });
    if (!signal.aborted) await once(signal, 'abort');
    server.close();
    server.closeAllConnections();
    return { address };
  },
});
