import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { openBrowser } from './support/browser.ts';
import { ChatPage } from './support/chat-page.ts';
import { modelFolder } from './support/server.ts';

const BIN = fileURLToPath(new URL('../../tools/bin/speedq.js', import.meta.url));

it('speedq serve MODEL opens the app on that model, and ends on Ctrl-C', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'speedq-serve-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await cp(modelFolder, join(folder, 'my-model'), { recursive: true });

  const child = spawn(process.execPath, [BIN, 'serve', 'my-model', '--port', '18500', '--json'], {
    cwd: folder,
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const events: { event: string; address?: string }[] = [];
  const lines = createInterface({ input: child.stdout });
  lines.on('line', (line) => events.push(JSON.parse(line) as (typeof events)[number]));
  await once(lines, 'line');
  expect(events[0].event).toBe('listening');

  const browser = await openBrowser();
  onTestFinished(() => browser.close());
  const page = await browser.context.newPage();
  const requested: string[] = [];
  browser.context.on('request', (request) => requested.push(new URL(request.url()).pathname));
  await page.goto(events[0].address!);
  const chat = new ChatPage(page);
  await page.getByText('my-model').first().waitFor();
  await chat.download();
  await chat.ready();
  expect(await chat.ask('What colour is a lemon usually?')).toMatch(/yellow/i);
  const models = new Set(requested.flatMap((path) => /^\/models\/([^/]+)\//.exec(path)?.[1] ?? []));
  expect([...models]).toEqual(['my-model']);

  child.kill('SIGINT');
  const [code] = (await once(child, 'exit')) as [number];
  expect(code).toBe(0);
  expect(events.at(-1)).toMatchObject({ event: 'result', address: events[0].address });
});
