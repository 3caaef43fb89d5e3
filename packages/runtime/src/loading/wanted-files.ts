import type { ManifestFile, PackedManifest } from '@speedq/format';

export const CONFIG_FILE = 'config.json';
const TOKENIZER_FILES = [
  'tokenizer.json',
  'vocab.json',
  'merges.txt',
  'added_tokens.json',
  'tokenizer_config.json',
] as const;

/** The files that opening a model reads: not, for example, the index that only other tools want. */
export function loadedFiles(manifest: PackedManifest): ManifestFile[] {
  const shards = [...manifest.tensors.values()].flatMap(({ parts }) => parts.map(({ file }) => file));
  const wanted = new Set([CONFIG_FILE, ...tokenizerFiles(manifest), ...shards]);
  return manifest.files.filter(({ name }) => wanted.has(name));
}

/** tokenizer.json, or what it can be made from where a folder has none. */
export function tokenizerFiles({ files }: PackedManifest): string[] {
  const present = TOKENIZER_FILES.filter((name) => files.some((file) => file.name === name));
  return present[0] === 'tokenizer.json' ? ['tokenizer.json'] : present;
}
