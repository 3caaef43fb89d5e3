/**
 * Runs before `npm start` and `npm test`, so that both work on a fresh clone. Node's built-ins only:
 * nothing else is there yet. With --browser it also makes sure that a Chrome or Chromium is installed.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findBrowser } from './find-browser.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  fail(`Node ${process.versions.node} is too old: speedq needs 20.19 or newer (https://nodejs.org).`);
}
if (!dependenciesMatchLockfile()) {
  console.error('Installing dependencies (npm ci) …');
  run(npm(), ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
}
if (process.argv.includes('--browser') && !findBrowser()) installBrowser();

/**
 * npm writes what it installed to node_modules/.package-lock.json. Versions are compared instead of
 * file times, which a checkout changes without any change of content.
 */
function dependenciesMatchLockfile() {
  const installedPath = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installedPath)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedPath, 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith('node_modules/') || entry.optional || entry.devOptional) return true;
    if (!existsSync(join(root, path))) return false;
    return entry.link === true || installed[path]?.version === entry.version;
  });
}

function installBrowser() {
  if (isDebian() && process.getuid?.() === 0) {
    console.error('Installing Chromium for the browser tests (apt-get install chromium) …');
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    run('apt-get', ['update', '-qq'], env);
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'chromium'], env);
    if (findBrowser()) return;
  }
  fail(
    'The tests need Chrome or Chromium and none was found. Install one ' +
      '(Debian: `sudo apt-get install chromium`; macOS: `brew install --cask google-chrome`; ' +
      'elsewhere: https://www.google.com/chrome), or set CHROME_PATH to its executable; ' +
      'then run `npm test` again.',
  );
}

function isDebian() {
  return existsSync('/etc/os-release') && /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'));
}

function npm() {
  return process.platform === 'win32' ? 'npm.cmd' : 'npm';
}

function run(command, args, env = process.env) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    env,
    // Standard output belongs to the command that follows.
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (status !== 0) fail(`\`${command} ${args.join(' ')}\` failed${error ? `: ${error.message}` : ''}.`);
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
