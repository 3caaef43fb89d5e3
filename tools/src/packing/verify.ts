import { MANIFEST_FILE, SpeedqError, checkPackedValues, checkShard, expectedEntries } from '@speedq/format';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readJsonFile } from '../json-file.ts';
import { INDEX_FILE } from '../model-folder/float-weights.ts';
import type { PackedModelFolder } from '../model-folder.ts';
import { readTokenizer } from './metadata.ts';

export interface VerifyOptions {
  /** Called after each file and each tensor. */
  readonly onStep?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** One thing that is wrong with a packed model; `file` or tensor is named in the text. */
export interface Problem {
  readonly code: string;
  readonly message: string;
}

/**
 * Everything that can be checked without running the model: every file against its size and SHA-256, shards,
 * index and manifest against each other, values that must be finite, and what the manifest fixes against
 * config.json and the tokenizer. Returns what is wrong; an empty list means verified.
 */
export async function verifyPackedModel(
  folder: PackedModelFolder,
  { onStep, signal }: VerifyOptions = {},
): Promise<Problem[]> {
  const { manifest } = folder.weights;
  const problems: Problem[] = [];
  const wholeModel = [checkIndex, checkUnlistedShards, checkMetadata];
  const total = manifest.files.length + manifest.tensors.size + wholeModel.length;
  let done = 0;
  const step = async (check: () => Promise<void>): Promise<void> => {
    signal?.throwIfAborted();
    try {
      await check();
    } catch (error) {
      if (!(error instanceof SpeedqError)) throw error;
      problems.push({ code: error.code, message: error.message });
    }
    onStep?.(++done, total);
  };
  const broken = new Set<string>();
  for (const file of manifest.files) {
    await step(async () => {
      broken.add(file.name);
      await checkFile(join(folder.path, file.name), file);
      if (file.name.endsWith('.safetensors')) {
        checkShard(manifest, file.name, await folder.weights.shardHeader(file.name));
      }
      broken.delete(file.name);
    });
  }
  for (const [name, tensor] of manifest.tensors) {
    await step(async () => {
      // Reported once, with the file.
      if (expectedEntries(name, tensor).some(({ file }) => broken.has(file))) return;
      checkPackedValues(await folder.weights.readPacked(name), name);
    });
  }
  for (const check of wholeModel) await step(() => check(folder));
  return problems;
}

interface FileEntry {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

async function checkFile(path: string, { name, bytes, sha256 }: FileEntry): Promise<void> {
  const { size } = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new SpeedqError('verification-failed', `${name}: ${MANIFEST_FILE} lists it, but it is not there.`, {
      cause,
    });
  });
  if (size !== bytes) {
    throw new SpeedqError(
      size < bytes ? 'file-truncated' : 'checksum-mismatch',
      `${name}: expected ${bytes} bytes, found ${size}. Download it again.`,
    );
  }
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  const actual = hash.digest('hex');
  if (actual === sha256) return;
  throw new SpeedqError(
    'checksum-mismatch',
    `${name}: expected SHA-256 ${sha256}, found ${actual}. The file was altered: download it again.`,
  );
}

/** The index is for other tools, so nothing else would notice that it is wrong. */
async function checkIndex({ path, weights }: PackedModelFolder): Promise<void> {
  const index = await readJsonFile(join(path, INDEX_FILE), {
    code: 'verification-failed',
    maxBytes: 16 << 20,
  });
  const map = new Map(Object.entries((index as { weight_map?: object } | null)?.weight_map ?? {}));
  for (const [name, tensor] of weights.manifest.tensors) {
    for (const entry of expectedEntries(name, tensor)) {
      if (map.get(entry.name) !== entry.file) {
        throw new SpeedqError(
          'verification-failed',
          `${INDEX_FILE}: ${entry.name} should be in ${entry.file}, found ${String(map.get(entry.name))}.`,
        );
      }
      map.delete(entry.name);
    }
  }
  for (const name of map.keys()) {
    throw new SpeedqError('verification-failed', `${INDEX_FILE}: ${name} is not in the manifest.`);
  }
}

/** A README may lie beside a model; a shard that nobody lists is a mistake. */
function checkUnlistedShards({ files, weights }: PackedModelFolder): Promise<void> {
  const listed = new Set(weights.manifest.files.map(({ name }) => name));
  const extra = files.find((name) => name.endsWith('.safetensors') && !listed.has(name));
  if (extra === undefined) return Promise.resolve();
  return Promise.reject(
    new SpeedqError('verification-failed', `${extra}: ${MANIFEST_FILE} does not list it. Remove it.`),
  );
}

async function checkMetadata(folder: PackedModelFolder): Promise<void> {
  const { config } = folder;
  const { manifest } = folder.weights;
  const expect = (what: string, found: unknown, expected: unknown): void => {
    if (found === expected) return;
    throw new SpeedqError(
      'verification-failed',
      `${MANIFEST_FILE}: ${what} is ${JSON.stringify(found)}; expected ${JSON.stringify(expected)}.`,
    );
  };
  expect('tiling.tileSize', manifest.tiling.tileSize, config.vision.imageSize);
  expect('tokensPerTile', manifest.tokensPerTile, config.tokensPerTile);
  for (const id of manifest.stopTokenIds) {
    expect(`stop token ${id} in the vocabulary`, id < config.language.vocabSize, true);
  }
  const tokenizer = await readTokenizer(folder);
  if (tokenizer !== undefined) {
    expect('the id of imageContext', tokenizer.tokenToId(manifest.prompt.imageContext), config.imageTokenId);
  }
}
