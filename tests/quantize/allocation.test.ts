import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runSpeedq } from './run-speedq.ts';
import { tinyRecipe, writeTinyData, writeTinyModel } from './tiny-model.ts';

let folder: string;
const at = (...parts: string[]) => join(folder, ...parts);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-allocation-'));
  await writeTinyModel(at('model'));
  await writeTinyData(at('data'));
  await writeFile(at('tiny.json'), JSON.stringify(tinyRecipe));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const command = (out: string, ...target: string[]) => [
  ...['quantize', at('model'), '--recipe', at('tiny.json'), '--data', at('data'), '--out', out],
  ...['--method', 'rtn', '--threads', '1', ...target],
];

interface Packed {
  readonly quantization_config: {
    readonly recipe: string;
    readonly schemes: { readonly modules: Readonly<Record<string, string>> };
  };
}

const readConfig = async (out: string) =>
  JSON.parse(await readFile(join(out, 'config.json'), 'utf8')) as Packed;

test('a size is kept by all files, killed or not, and the recipe says what each module got', async () => {
  const bytes = 275_000;
  const whole = await runSpeedq(command(at('whole', 'out'), '--target-size', `${bytes}`));
  expect(whole.code, whole.stderr).toBe(0);

  const out = at('killed', 'out');
  const log = at('killed', '.out.sensitivity.jsonl');
  const lines = async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').length - 1;
  const killed = runSpeedq(command(out, '--target-size', `${bytes}`), (_event, kill) => {
    // Any event will do to get hold of the process.
    void (async () => {
      while ((await lines()) < 6) await new Promise((resolve) => setTimeout(resolve, 5));
      kill('SIGKILL');
    })();
  });
  expect((await killed).signal).toBe('SIGKILL');
  const before = await lines();
  expect(before).toBeGreaterThanOrEqual(6);
  const resumed = await runSpeedq(command(out, '--target-size', `${bytes}`));
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(await lines()).toBe(0);

  const shard = 'model-00001-of-00001.safetensors';
  for (const file of ['config.json', shard]) {
    expect((await readFile(join(out, file))).equals(await readFile(at('whole', 'out', file))), file).toBe(
      true,
    );
  }
  const inspected = await runSpeedq(['inspect', out]);
  const { fileBytes } = inspected.events.at(-1) as unknown as { fileBytes: number };
  expect(fileBytes).toBeLessThanOrEqual(bytes);
  expect(fileBytes).toBeGreaterThan(0.97 * bytes);
  expect((await runSpeedq(['verify', out])).code).toBe(0);

  const { recipe, schemes } = (await readConfig(out)).quantization_config;
  expect(recipe).toBe(`tiny-${bytes}-bytes`);
  const given = Object.entries(schemes.modules);
  // 2 blocks of 6 linears, 2 layers of 7, embedding and head.
  expect(given.length).toBe(2 * 6 + 2 * 7 + 2);
  expect(new Set(given.map(([, scheme]) => scheme)).size).toBeGreaterThan(2);
  const layer = 'language_model.model.layers.0.self_attn';
  expect(schemes.modules[`${layer}.q_proj`]).toBe(schemes.modules[`${layer}.v_proj`]);
  const result = resumed.events.at(-1) as unknown as {
    allocation: { scheme: string; sensitivity: Record<string, number> }[];
  };
  for (const { sensitivity } of result.allocation) {
    const losses = Object.values(sensitivity);
    expect(losses.every((loss) => loss >= -1e-9)).toBe(true);
    // From 2 to 4 bits.
    expect(losses.at(-1)!).toBeLessThan(losses[0]);
  }
});

test.each([
  ['both targets', ['--target-size', '1MiB', '--target-bpw', '3'], /exclude each other/],
  ['no size', ['--target-size', 'large'], /expected a size such as/],
  ['flaws of the reference', ['--target-bpw', '3', '--reference'], /--reference/],
])('%s is refused', async (_, target, message) => {
  const run = await runSpeedq(command(at('refused'), ...target));
  expect(run.code).toBe(2);
  expect(run.stderr).toMatch(message);
});
