import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { dist, modelFolder, serveWithModels } from './server.ts';

/** The script of echo-engine.ts, to be served in the place of the engine's. */
export async function echoEngineScript(): Promise<string> {
  const build = await rolldown({ input: fileURLToPath(new URL('./echo-engine.ts', import.meta.url)) });
  const { output } = await build.generate({ format: 'esm' });
  await build.close();
  return output[0].code;
}

/** The built app with echo-engine.ts for an engine, and models `slow` and `other`, in a folder of a site. */
export async function serveEchoApp({
  modelsWorker,
}: {
  /** In the place of the worker that looks after kept models. */
  readonly modelsWorker?: string;
} = {}): Promise<{ url: string; close(): Promise<void> }> {
  const site = await mkdtemp(join(tmpdir(), 'speedq-echo-'));
  const folder = join(site, 'chat');
  await cp(dist, folder, { recursive: true });
  const assets = join(folder, 'assets');
  for (const name of await readdir(assets)) {
    if (/^worker-.*\.js$/.test(name)) await writeFile(join(assets, name), await echoEngineScript());
    if (modelsWorker !== undefined && /^model-worker-.*\.js$/.test(name))
      await writeFile(join(assets, name), modelsWorker);
  }
  const server = await serveWithModels({}, site);
  for (const name of ['slow', 'other'])
    await cp(modelFolder, join(folder, 'models', name), { recursive: true });
  return {
    url: `${server.url}chat/`,
    async close() {
      server.close();
      await rm(site, { recursive: true, force: true });
    },
  };
}
