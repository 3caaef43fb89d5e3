import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readFileSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSafetensors, writeSafetensors } from '@speedq/format';
import type { TensorData } from '@speedq/format';
import { describe, expect, test } from 'vitest';
import { goldenPath } from '../golden/folder.ts';
import { speedq, temporaryFolder } from '../support/run-command.ts';

/** What a user may do to a folder, the code and exit code that must follow, and what the message must name. */

const shard = 'model-00001-of-00001.safetensors';
const up = 'language_model.model.layers.0.mlp.up_proj.weight';

function floatFolder(name = 'micro'): string {
  const folder = join(temporaryFolder(), 'model');
  cpSync(goldenPath('internvl', name), folder, { recursive: true });
  return folder;
}

async function packedFolder(): Promise<string> {
  const folder = join(temporaryFolder(), 'packed');
  const { exitCode, stderr } = await speedq(
    'export',
    goldenPath('internvl', 'micro'),
    '--to',
    'packed',
    '--out',
    folder,
  );
  expect(exitCode, stderr).toBe(0);
  return folder;
}

type Json = Record<string, unknown>;

function editJson(path: string, edit: (json: Json) => void): void {
  const json = JSON.parse(readFileSync(path, 'utf8')) as Json;
  edit(json);
  // The checksum of a manifest is for accidents; whoever edits one can leave it out.
  delete json.checksum;
  writeFileSync(path, JSON.stringify(json));
}

/** Rewrites a checkpoint with other tensors; the file itself stays well-formed. */
function editTensors(path: string, edit: (tensors: TensorData[]) => TensorData[]): void {
  const file = readFileSync(path);
  const tensors = [...parseSafetensors(file).tensors.values()].map(
    ({ name, dtype, shape, offset, bytes }): TensorData => ({
      name,
      dtype,
      shape,
      data: file.subarray(offset, offset + bytes),
    }),
  );
  writeFileSync(path, writeSafetensors(edit(tensors)));
}

function alterByte(path: string, position: number): void {
  const bytes = readFileSync(path);
  bytes[position] ^= 1;
  writeFileSync(path, bytes);
}

async function expectFailure(
  argv: readonly string[],
  exitCode: number,
  code: string,
  message: RegExp,
): Promise<void> {
  const run = await speedq(...argv, '--json');
  const last = run.events[run.events.length - 1];
  expect(last).toMatchObject({ event: 'error', code, exitCode });
  expect(last.message).toMatch(message);
  expect(run.exitCode).toBe(exitCode);
  expect(run.stderr).toContain(`[${code}]`);
}

describe('a float folder', () => {
  test.each<[string, (folder: string) => void, string, RegExp]>([
    [
      'truncated weights',
      (f) => truncateSync(join(f, 'model.safetensors'), 500_000),
      'file-truncated',
      /500000/,
    ],
    [
      'weights cut inside the header',
      (f) => truncateSync(join(f, 'model.safetensors'), 100),
      'file-truncated',
      /header/,
    ],
    ['empty weights', (f) => truncateSync(join(f, 'model.safetensors'), 0), 'file-truncated', /too few/],
    [
      'weights that are something else',
      (f) => writeFileSync(join(f, 'model.safetensors'), 'PK\u0003\u0004 and so on, an archive'),
      'invalid-safetensors',
      /header size/,
    ],
    [
      'a missing tensor',
      (f) => editTensors(join(f, 'model.safetensors'), (all) => all.filter(({ name }) => name !== up)),
      'missing-tensor',
      /layers\.0\.mlp\.up_proj/,
    ],
    [
      'a tensor of another shape',
      (f) =>
        editTensors(join(f, 'model.safetensors'), (all) =>
          all.map((tensor) => (tensor.name === up ? { ...tensor, shape: [64, 160] } : tensor)),
        ),
      'shape-mismatch',
      /up_proj.*\[160, 64\].*\[64, 160\]/,
    ],
    [
      'a head missing where the configuration says it is untied',
      (f) =>
        editTensors(join(f, 'model.safetensors'), (all) =>
          all.filter(({ name }) => !name.includes('lm_head')),
        ),
      'missing-tensor',
      /lm_head/,
    ],
    [
      'a configuration of fewer layers',
      (f) => editJson(join(f, 'config.json'), (json) => ((json.text_config as Json).num_hidden_layers = 1)),
      'unexpected-tensor',
      /layers\.1\./,
    ],
    [
      'a configuration of a billion layers',
      (f) => editJson(join(f, 'config.json'), (json) => ((json.text_config as Json).num_hidden_layers = 1e9)),
      'invalid-config',
      /text_config\.num_hidden_layers/,
    ],
    [
      'a configuration of another model',
      (f) => editJson(join(f, 'config.json'), (json) => (json.model_type = 'llama')),
      'invalid-config',
      /"llama"/,
    ],
    [
      'a configuration that is no JSON',
      (f) => writeFileSync(join(f, 'config.json'), '<!doctype html>'),
      'invalid-config',
      /not JSON/,
    ],
    ['no configuration', (f) => rmSync(join(f, 'config.json')), 'not-a-model', /found .*model\.safetensors/],
    ['no weights', (f) => rmSync(join(f, 'model.safetensors')), 'not-a-model', /found config\.json/],
    [
      'weights of another kind',
      (f) => renameSync(join(f, 'model.safetensors'), join(f, 'pytorch_model.bin')),
      'not-a-model',
      /pytorch_model\.bin/,
    ],
  ])('%s', async (_, damage, code, message) => {
    const folder = floatFolder();
    damage(folder);
    await expectFailure(['inspect', folder], 3, code, message);
    const out = join(folder, '..', 'out');
    await expectFailure(['export', folder, '--to', 'packed', '--out', out], 3, code, message);
    expect(readdirSync(join(folder, '..'))).toEqual(['model']);
  });

  test('a NaN among the weights', async () => {
    const folder = floatFolder();
    editTensors(join(folder, 'model.safetensors'), (all) =>
      all.map((tensor) =>
        tensor.name === up ? { ...tensor, data: new Float32Array(160 * 64).fill(NaN) } : tensor,
      ),
    );
    const out = join(folder, '..', 'out');
    await expectFailure(
      ['export', folder, '--to', 'packed', '--out', out],
      3,
      'not-representable',
      /up_proj/,
    );
  });

  describe('in shards', () => {
    function shardedFolder(): string {
      const folder = floatFolder();
      const file = readFileSync(join(folder, 'model.safetensors'));
      const names = [...parseSafetensors(file).tensors.keys()];
      const map: Record<string, string> = {};
      for (const [index, part] of [names.slice(0, 30), names.slice(30)].entries()) {
        const name = `model-0000${index + 1}-of-00002.safetensors`;
        cpSync(join(folder, 'model.safetensors'), join(folder, name));
        editTensors(join(folder, name), (all) => all.filter((tensor) => part.includes(tensor.name)));
        for (const tensor of part) map[tensor] = name;
      }
      rmSync(join(folder, 'model.safetensors'));
      writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
      return folder;
    }

    test('reads like the single file', async () => {
      const { exitCode, stdout } = await speedq('inspect', shardedFolder());
      expect(exitCode).toBe(0);
      expect(stdout).toContain('246,528');
    });

    test('a missing shard', async () => {
      const folder = shardedFolder();
      rmSync(join(folder, 'model-00002-of-00002.safetensors'));
      await expectFailure(['inspect', folder], 3, 'missing-tensor', /model-00002-of-00002/);
    });

    test('an index that reaches outside the folder', async () => {
      const folder = shardedFolder();
      writeFileSync(
        join(folder, 'model.safetensors.index.json'),
        JSON.stringify({ weight_map: { x: '../other/model.safetensors' } }),
      );
      await expectFailure(['inspect', folder], 3, 'invalid-safetensors', /\.\.\/other/);
    });
  });
});

describe('a packed folder, before its weights are read', () => {
  test.each<[string, (folder: string) => void, string, RegExp]>([
    ['a truncated shard', (f) => truncateSync(join(f, shard), 100_000), 'file-truncated', /100000/],
    ['a missing shard', (f) => rmSync(join(f, shard)), 'missing-tensor', /model-00001-of-00001/],
    [
      'a truncated manifest',
      (f) => truncateSync(join(f, 'manifest.json'), 1000),
      'invalid-manifest',
      /not JSON/,
    ],
    ['no manifest', (f) => rmSync(join(f, 'manifest.json')), 'not-a-model', /manifest\.json/],
    [
      'a manifest that lacks a tensor',
      (f) => editJson(join(f, 'manifest.json'), (json) => delete (json.tensors as Json)[up]),
      'missing-tensor',
      /up_proj/,
    ],
    [
      'a manifest with an unknown key',
      (f) => editJson(join(f, 'manifest.json'), (json) => (json.script = 'x')),
      'invalid-manifest',
      /script/,
    ],
  ])('%s', async (_, damage, code, message) => {
    const folder = await packedFolder();
    damage(folder);
    await expectFailure(['inspect', folder], 3, code, message);
  });
});

describe('verify', () => {
  test.each<[string, (folder: string) => void, RegExp]>([
    ['one altered bit of a weight', (f) => alterByte(join(f, shard), 150_000), /SHA-256/],
    ['one altered bit of a header', (f) => alterByte(join(f, shard), 20), /SHA-256|header/],
    ['a truncated shard', (f) => truncateSync(join(f, shard), 100_000), /expected \d+ bytes/],
    [
      'a missing side file',
      (f) => rmSync(join(f, 'generation_config.json')),
      /generation_config\.json.*not there/,
    ],
    [
      'an altered configuration',
      (f) => editJson(join(f, 'config.json'), (json) => (json.note = 'changed')),
      /config\.json: expected/,
    ],
    [
      'an index that points elsewhere, with its checksum made to fit',
      (f) => {
        const name = 'model.safetensors.index.json';
        editJson(join(f, name), (json) => delete (json.weight_map as Json)[`${up}.codes`]);
        const bytes = readFileSync(join(f, name));
        editJson(join(f, 'manifest.json'), (json) => {
          const entry = (json.files as Json[]).find((file) => file.name === name)!;
          entry.bytes = bytes.length;
          entry.sha256 = sha256(bytes);
        });
      },
      /up_proj\.weight\.codes should be in/,
    ],
    [
      'a step that is no number, with its checksum made to fit',
      (f) => {
        const bytes = readFileSync(join(f, shard));
        const info = parseSafetensors(bytes).tensors.get(`${up}.meta`)!;
        // The last word of a block's record: step in the low half, minimum in the high one.
        bytes.writeUInt16LE(0x7e00, info.offset + 12);
        writeFileSync(join(f, shard), bytes);
        editJson(join(f, 'manifest.json'), (json) => {
          (json.files as Json[]).find((file) => file.name === shard)!.sha256 = sha256(bytes);
        });
      },
      /up_proj.*step.*NaN/,
    ],
    [
      'a stop token outside the vocabulary',
      (f) => editJson(join(f, 'manifest.json'), (json) => (json.stopTokenIds = [300])),
      /stop token 300/,
    ],
    [
      'a shard that nobody lists',
      (f) => cpSync(join(f, shard), join(f, 'old.safetensors')),
      /old\.safetensors/,
    ],
  ])('%s', async (_, damage, message) => {
    const folder = await packedFolder();
    damage(folder);
    await expectFailure(['verify', folder], 5, 'verification-failed', message);
  });

  test('an untouched folder passes', async () => {
    const { exitCode, events } = await speedq('verify', await packedFolder(), '--json');
    expect(exitCode).toBe(0);
    expect(events[events.length - 1]).toMatchObject({ event: 'result', verified: true, tensors: 73 });
  });

  test('a float folder is no packed model', () =>
    expectFailure(['verify', goldenPath('internvl', 'micro')], 3, 'not-a-model', /speedq quantize/));
});

describe('wrong arguments', () => {
  test.each<[string, string[], number, string, RegExp]>([
    ['no such folder', ['inspect', '/nowhere/at/all'], 3, 'not-a-model', /does not exist/],
    [
      'a file instead of a folder',
      ['inspect', goldenPath('internvl/micro/config.json')],
      3,
      'not-a-model',
      /is a file/,
    ],
    ['a folder of something else', ['inspect', goldenPath('quantizer')], 3, 'not-a-model', /found .*bilevel/],
    [
      'an unknown recipe',
      ['plan', goldenPath('internvl/micro'), '--recipe', '2bits'],
      2,
      'invalid-recipe',
      /Did you mean 2bit\?/,
    ],
    [
      'an unknown flag',
      ['plan', goldenPath('internvl/micro'), '--recip', '2bit'],
      2,
      'invalid-argument',
      /--recipe\?/,
    ],
    ['an unknown command', ['inspekt'], 2, 'invalid-argument', /Did you mean inspect\?/],
    [
      'a scheme that does not fit',
      ['plan', goldenPath('internvl/micro'), '--recipe', '4bit'],
      3,
      'shape-mismatch',
      /q_proj.*multiple of 128/,
    ],
  ])('%s', (_, argv, exitCode, code, message) => expectFailure(argv, exitCode, code, message));

  test('a recipe file with an unknown key', async () => {
    const file = join(temporaryFolder(), 'mine.json');
    writeFileSync(file, JSON.stringify({ extends: '2bit', stage3: { step: 5 } }));
    await expectFailure(
      ['plan', goldenPath('internvl/micro'), '--recipe', file],
      2,
      'invalid-recipe',
      /stage3\.step.*Did you mean steps\?/,
    );
  });

  test('an output that exists', async () => {
    const folder = await packedFolder();
    const argv = ['export', goldenPath('internvl/micro'), '--to', 'packed', '--out', folder];
    await expectFailure(argv, 2, 'output-exists', /--force/);
  });
});

describe('the executable, as a process', () => {
  const executable = fileURLToPath(new URL('../../tools/bin/speedq.js', import.meta.url));
  const run = (...argv: string[]) => spawnSync(process.execPath, [executable, ...argv], { encoding: 'utf8' });

  test('data on stdout, errors on stderr, and the exit code', () => {
    const wrong = run('inspect', goldenPath('quantizer'));
    expect(wrong.status).toBe(3);
    expect(wrong.stdout).toBe('');
    expect(wrong.stderr).toMatch(/^speedq: .*\[not-a-model\]\n$/);
    const right = run('inspect', goldenPath('internvl/micro'), '--json');
    expect(right.status).toBe(0);
    expect(right.stderr).toBe('');
    const lines = right.stdout.trim().split('\n');
    expect(JSON.parse(lines[lines.length - 1])).toMatchObject({ event: 'result', parameters: 246_528 });
  });
});

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
