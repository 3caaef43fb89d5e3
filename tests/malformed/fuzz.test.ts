import { parseManifest, parseSafetensors, SpeedqError, verifyFile } from '@speedq/format';
import { sniffImage } from '@speedq/processor';
import { decodeImage } from '@speedq/processor/node';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRandom } from '../../tools/src/data/random.ts';
import { goldenPath } from '../golden/folder.ts';
import { speedq, temporaryFolder } from '../support/run-command.ts';
import { ALIEN_FILES } from './fuzz/alien-files.ts';
import { fuzz } from './fuzz/harness.ts';
import { createTargets } from './fuzz/targets.ts';

/** `npm run test:fuzz` sets these; docs/security.md has what it found. */
const CASES = Number(process.env.FUZZ_CASES ?? 20_000);
const SEED = Number(process.env.FUZZ_SEED ?? 6);
const FLIPS = 10_000;

let packed = '';
const folder = mkdtempSync(join(tmpdir(), 'speedq-fuzz-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
beforeAll(async () => {
  packed = join(folder, 'packed');
  const run = await speedq('export', goldenPath('internvl', 'micro'), '--to', 'packed', '--out', packed);
  expect(run.exitCode, run.stderr).toBe(0);
});

async function refusal(read: () => unknown): Promise<string> {
  try {
    await read();
  } catch (error) {
    if (error instanceof SpeedqError) return error.code;
    throw error;
  }
  return 'accepted';
}

it(
  `${CASES} malformed inputs: typed errors, within a second, twice the file and 16 MiB`,
  { timeout: 120_000 + CASES * 50 },
  async () => {
    const targets = await createTargets(packed);
    const report = (done: number): void => console.log(`${done} of ${CASES}`);
    const { failures, byKind } = await fuzz(targets, {
      seed: SEED,
      count: CASES,
      onProgress: CASES > 20_000 ? report : undefined,
    });
    if (CASES > 20_000) console.log(JSON.stringify(byKind, null, 1));
    expect(failures.slice(0, 5)).toEqual([]);
    for (const [kind, { inputs, refused }] of Object.entries(byKind)) {
      // Of each kind there were some, and damage was found: else nothing was tested.
      expect(inputs, kind).toBeGreaterThan(CASES / 200);
      expect(Object.keys(refused).length, kind).toBeGreaterThan(kind === 'picture header' ? -1 : 0);
    }
  },
);

it(`${FLIPS} flips of single bytes, each found before the file is used`, { timeout: 300_000 }, async () => {
  const files = new Map(
    readdirSync(packed).map((name) => [name, new Uint8Array(readFileSync(join(packed, name)))]),
  );
  const manifest = parseManifest(new TextDecoder().decode(files.get('manifest.json')));
  const random = createRandom(SEED);
  const missed: string[] = [];
  for (let i = 0; i < FLIPS; i++) {
    const [name, bytes] = random.pick([...files]);
    const at = random.int(bytes.length);
    const mask = 1 + random.int(255);
    bytes[at] ^= mask;
    const code = await refusal(() =>
      name === 'manifest.json'
        ? parseManifest(new TextDecoder().decode(bytes))
        : verifyFile(manifest, name, bytes),
    );
    bytes[at] ^= mask;
    if (code === 'accepted') missed.push(`${name} at ${at} by ${mask}`);
  }
  expect(missed).toEqual([]);
});

describe('files of other formats, made to break their readers', () => {
  it.each(ALIEN_FILES.map(({ name, bytes }) => [name, bytes] as const))('%s', async (_, bytes) => {
    const code = await refusal(() => parseSafetensors(bytes));
    expect(['invalid-safetensors', 'file-truncated']).toContain(code);
    expect(await refusal(() => decodeImage(bytes))).toBe('invalid-image');
    const folder = join(temporaryFolder(), 'model');
    cpSync(goldenPath('internvl', 'micro'), folder, { recursive: true });
    writeFileSync(join(folder, 'model.safetensors'), bytes);
    const run = await speedq('inspect', folder, '--json');
    expect(run.exitCode).toBe(3);
    expect(['invalid-safetensors', 'file-truncated']).toContain(run.events.at(-1)!.code);
  });

  it.each(['model.gguf', 'model.onnx', 'pytorch_model.bin'])('a folder with nothing but %s', async (name) => {
    const folder = join(temporaryFolder(), 'model');
    cpSync(goldenPath('internvl', 'micro', 'config.json'), join(folder, 'config.json'));
    for (const { bytes } of ALIEN_FILES) {
      writeFileSync(join(folder, name), bytes);
      const run = await speedq('inspect', folder, '--json');
      expect(run.events.at(-1)).toMatchObject({ event: 'error', code: 'not-a-model' });
    }
  });
});

describe('names that reach outside a folder', () => {
  const outside = [
    '../secret.safetensors',
    '/etc/passwd',
    'C:\\secret.safetensors',
    '..\\secret.safetensors',
    'a/../../secret.safetensors',
    '%2e%2e/secret.safetensors',
    'https://example.org/x.safetensors',
    'file:///etc/passwd',
    'model\0.safetensors',
    '.hidden.safetensors',
    '',
  ];
  it.each(outside)('in a manifest: %j', (name) => {
    const json = JSON.parse(readFileSync(join(packed, 'manifest.json'), 'utf8')) as {
      files: { name: string }[];
      checksum?: string;
    };
    delete json.checksum;
    json.files[0].name = name;
    expect(() => parseManifest(JSON.stringify(json))).toThrow(/plain file name/);
  });

  it.each(outside)('in an index: %j', async (name) => {
    const folder = join(temporaryFolder(), 'model');
    cpSync(goldenPath('internvl', 'micro', 'config.json'), join(folder, 'config.json'));
    writeFileSync(
      join(folder, 'model.safetensors.index.json'),
      JSON.stringify({ weight_map: { 'language_model.model.norm.weight': name } }),
    );
    const run = await speedq('inspect', folder, '--json');
    expect(run.events.at(-1)).toMatchObject({ event: 'error', code: 'invalid-safetensors' });
  });
});

describe('templates are data', () => {
  // Server-side template injection of CVE-2024-34359 and its JavaScript cousins.
  const hostile = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    '{{ cycler.__init__.__globals__.os.popen("touch /tmp/owned").read() }}',
    '{{ constructor.constructor("globalThis.owned = 1")() }}',
    '{% for i in range(10 ** 12) %}x{% endfor %}',
    '${globalThis.owned = 1}',
  ];
  it.each(hostile)('a float folder with %s packs to the same prompt, unevaluated', async (template) => {
    const folder = join(temporaryFolder(), 'model');
    cpSync(goldenPath('internvl', 'micro'), folder, { recursive: true });
    for (const name of ['tokenizer.json', 'tokenizer_config.json', 'vocab.json', 'merges.txt']) {
      cpSync(join('web/public/models/pico-2bit', name), join(folder, name));
    }
    writeFileSync(join(folder, 'chat_template.jinja'), template);
    writeFileSync(join(folder, 'chat_template.json'), JSON.stringify({ chat_template: template }));
    const out = join(folder, '..', 'out');
    const run = await speedq('export', folder, '--to', 'packed', '--out', out, '--json');
    // Refused or packed with a prompt of the known kind; never rendered.
    if (run.exitCode === 0) {
      const { prompt } = parseManifest(readFileSync(join(out, 'manifest.json'), 'utf8'));
      expect(prompt.systemPrompt).toBeNull();
    } else {
      expect(run.exitCode).toBe(3);
    }
    expect((globalThis as { owned?: number }).owned).toBeUndefined();
  });
});

describe('pictures that claim absurd sizes are refused by their headers', () => {
  const size = (width: number, height: number): number[] =>
    [width, height].flatMap((side) => [side >>> 24, (side >>> 16) & 255, (side >>> 8) & 255, side & 255]);
  const pngMagic = [0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52];
  const files: [string, number[]][] = [
    ['PNG of 2^31 a side', [...pngMagic, ...size(0x7fffffff, 0x7fffffff), 8, 2, 0, 0, 0]],
    ['PNG of no height', [...pngMagic, ...size(100, 0), 8, 2, 0, 0, 0]],
    ['PNG of 16,384 a side', [...pngMagic, ...size(16_384, 16_384), 8, 2, 0, 0, 0]],
    ['JPEG of 65,535 a side', [0xff, 0xd8, 0xff, 0xc0, 0, 17, 8, 0xff, 0xff, 0xff, 0xff, 3, 1, 0x22, 0]],
    ['GIF of 65,535 a side', [...Buffer.from('GIF89a'), 0xff, 0xff, 0xff, 0xff, 0, 0, 0]],
    [
      'WebP of 16,777,216 a side',
      [
        ...Buffer.from('RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0', 'latin1'),
        0,
        0,
        0,
        0,
        ...[1, 2, 3, 4, 5, 6].map(() => 0xff),
      ],
    ],
  ];
  it.each(files)('%s', async (_, header) => {
    const bytes = Uint8Array.from(header);
    expect(sniffImage(bytes).width).toBeDefined();
    await expect(decodeImage(bytes)).rejects.toThrow(/pixels/);
  });
});
