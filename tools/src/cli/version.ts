import { readFileSync } from 'node:fs';
import { packageFile } from '../places.ts';

/** The version in this package's package.json. */
export function version(): string {
  const text = readFileSync(packageFile, 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
