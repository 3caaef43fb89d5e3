import { SpeedqError } from '@speedq/format';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createStaticServer, listen } from '../../scripts/static-server.mjs';
import { requirePacked, withModelFolder } from './model-folder.ts';
import { appFolder as ownAppFolder } from './places.ts';

export interface AppServerOptions {
  /** A packed model outside the app. */
  readonly model?: string;
  /** First port to try. */
  readonly port: number;
  /** The built app; default: the command's own. */
  readonly appFolder?: string;
}

export interface AppServer {
  /** Of the page, with the model chosen. */
  readonly address: string;
  close(): void;
}

/**
 * Serves the chat app on localhost.
 * @throws {SpeedqError} `unsupported` where the app is not built; what opening the model throws.
 */
export async function startAppServer({
  model,
  port,
  appFolder = ownAppFolder,
}: AppServerOptions): Promise<AppServer> {
  if (!existsSync(join(appFolder, 'index.html'))) {
    throw new SpeedqError(
      'unsupported',
      'The chat app is not built. Run `npm run build` once, then this again.',
    );
  }
  const mounts: Record<string, string> = {};
  let query = '';
  if (model !== undefined) {
    const folder = await withModelFolder(model, (opened) => Promise.resolve(requirePacked(opened).path));
    const name = pageName(folder);
    mounts[`/models/${name}/`] = folder;
    query = `?model=${name}`;
  }
  const server = createStaticServer({ root: appFolder, mounts });
  const origin = await listen(server, { port });
  return {
    address: `${origin}${query}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** The folder's name as far as the page's `?model=` takes it (web/src/models.ts); the app shows it. */
function pageName(folder: string): string {
  const name = basename(folder)
    .replaceAll(/[^\w.-]+/g, '-')
    .slice(0, 80);
  return /[\w-]/.test(name) ? name : 'served';
}
