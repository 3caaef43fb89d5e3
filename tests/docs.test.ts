/** What the documentation points at is there: files, headings, scripts, tests. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];
const text = (page: string): string => readFileSync(join(root, page), 'utf8');

/** As GitHub makes them. */
function anchors(page: string): Set<string> {
  const headings = text(page)
    .replaceAll(/^```[\s\S]*?^```/gm, '')
    .matchAll(/^#+ (.*)$/gm);
  return new Set(
    [...headings].map(([, heading]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

it.each(pages)('%s links to what exists', (page) => {
  const broken: string[] = [];
  for (const [, target] of text(page).matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue;
    const [path, anchor] = target.split('#');
    const file = path === '' ? page : relative(root, join(root, dirname(page), path));
    if (!existsSync(join(root, file)) || (anchor && !anchors(file).has(anchor))) broken.push(target);
  }
  expect(broken).toEqual([]);
});

it.each(pages)('%s names scripts that exist', (page) => {
  const { scripts } = JSON.parse(text('package.json')) as { scripts: Record<string, string> };
  const named = [...text(page).matchAll(/npm run (?:--silent )?([\w:-]+)/g)].map(([, name]) => name);
  expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
});

it.each(pages)('%s names tests that exist', (page) => {
  const tracked = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
  });
  const files = new Set(tracked.split('\n').map((path) => basename(path)));
  const named = [...text(page).matchAll(/(?<![.\w])(\w[\w.-]*\.(?:gpu\.test|test|e2e)\.ts)\b/g)].map(
    ([, name]) => name,
  );
  expect(named.filter((name) => !files.has(name))).toEqual([]);
});
