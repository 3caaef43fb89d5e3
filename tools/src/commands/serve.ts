import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { startAppServer } from '../app-server.ts';
import { defineCommand } from '../cli/command.ts';

export const serve = defineCommand({
  args: { model: { description: 'folder of a packed model (default: the embedded pico)', optional: true } },
  options: {
    port: { type: 'integer', min: 1, max: 65_535, default: 8080, description: 'first port to try' },
    open: { type: 'boolean', description: 'open the page in the default browser' },
  },
  examples: [
    { does: 'The app with the embedded models', line: 'serve' },
    { does: 'A model of your own, opened in the browser', line: 'serve pico-3bpw --open' },
  ],
  details: 'Serves the chat app on localhost until it is interrupted. Build it once with `npm run build`.',
  async run({ args, options, output, signal }) {
    const server = await startAppServer({ model: args.model, port: options.port });
    const { address } = server;
    output.print(address);
    output.event('listening', { address });
    output.note('Ctrl-C stops it.');
    if (options.open && !(await openBrowser(address)))
      output.note('Found no browser to open: open the address.');
    if (!signal.aborted) await once(signal, 'abort');
    server.close();
    return { address };
  },
});

/** False where the system has no program for it. */
function openBrowser(address: string): Promise<boolean> {
  const [program, ...args] = {
    darwin: ['open'],
    win32: ['rundll32', 'url.dll,FileProtocolHandler'],
  }[process.platform as string] ?? ['xdg-open'];
  return new Promise((resolve) => {
    const child = spawn(program, [...args, address], { stdio: 'ignore', detached: true });
    child.once('error', () => resolve(false));
    child.once('spawn', () => resolve(true));
    child.unref();
  });
}
