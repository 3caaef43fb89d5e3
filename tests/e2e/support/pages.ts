import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize, sep } from 'node:path';

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.css': 'text/css',
  '.js': 'text/javascript',
};

export interface PageServer {
  readonly url: string;
  /** Paths asked for so far, in order. */
  readonly requests: readonly string[];
  close(): void;
}

/** Pages from memory and folders under prefixes, with a policy of the test's choice. */
export async function servePages(
  pages: Readonly<Record<string, string>>,
  folders: Readonly<Record<string, string>>,
  policy: string,
): Promise<PageServer> {
  const requests: string[] = [];
  const contentOf = async (path: string): Promise<string | Buffer | undefined> => {
    if (path in pages) return pages[path];
    const prefix = Object.keys(folders).find((name) => path.startsWith(name));
    if (prefix === undefined) return undefined;
    const file = join(folders[prefix], normalize(`${sep}${path.slice(prefix.length)}`));
    return await readFile(file).catch(() => undefined);
  };
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    requests.push(pathname);
    void contentOf(pathname).then((content) => {
      if (content === undefined) return response.writeHead(404).end();
      const type = TYPES[extname(pathname)] ?? 'text/html';
      return response
        .writeHead(200, { 'Content-Type': `${type}; charset=utf-8`, 'Content-Security-Policy': policy })
        .end(content);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}/`,
    requests,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
