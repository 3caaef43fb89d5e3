import { spawn } from 'node:child_process';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { createStaticServer } from '../../../scripts/static-server.mjs';

export const dist = fileURLToPath(new URL('../../../web/dist/', import.meta.url));

export const modelFolder = `${dist}models/pico-2bit`;

export interface AppServer {
  readonly url: string;
  /** As abruptly as pulling the plug. */
  kill(): Promise<void>;
}

/** The server of `npm start`, in a process of its own. */
export function startAppServer(): Promise<AppServer> {
  const script = fileURLToPath(new URL('../../../scripts/serve.mjs', import.meta.url));
  const child = spawn(process.execPath, [script], { env: { ...process.env, PORT: '18080' } });
  return new Promise((resolve, reject) => {
    let output = '';
    const onData = (chunk: Buffer): void => {
      output += chunk.toString();
      const url = /http:\/\/\S+/.exec(output)?.[0];
      if (!url) return;
      resolve({
        url,
        kill: () =>
          new Promise((ended) => {
            if (child.exitCode !== null || child.signalCode !== null) return ended();
            child.once('exit', () => ended());
            child.kill('SIGKILL');
          }),
      });
    };
    child.stdout.on('data', onData);
    child.stderr.on('data', onData);
    child.once('exit', () => reject(new Error(`The server ended: ${output}`)));
  });
}

/** The same app in this process, with further models in `models/NAME/`. */
export async function serveWithModels(
  models: Readonly<Record<string, string>>,
  root = dist,
  port = 0,
): Promise<{ url: string; close(): void }> {
  const mounts = Object.fromEntries(
    Object.entries(models).map(([name, folder]) => [`/models/${name}/`, folder]),
  );
  const server = createStaticServer({ root, mounts });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
