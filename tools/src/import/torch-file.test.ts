import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readTorchFile } from './torch-file.ts';

const SAVED = fileURLToPath(
  new URL('../../../tests/goldens/reference-export/2bit/quant_details/0/self_attn.k_proj', import.meta.url),
);
const CALL = 'ctorch._utils\n_rebuild_tensor_v2\n';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-torch-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('reads what torch.save wrote', async () => {
  const tensors = await readTorchFile(SAVED);
  expect([...tensors].map(([name, { shape }]) => `${name} ${shape.join('×')}`)).toEqual([
    'quant_weights 128×16',
    'quant_layer_scale 8×16',
    'quant_layer_zeros 128×1',
    'quant_layer_scale_qq_scale 8×1',
    'quant_layer_scale_qq_zero 8×1',
  ]);
  expect(new Set(tensors.get('quant_weights')!.values)).toEqual(new Set([0, 1, 2, 3]));
});

describe('a damaged or hostile file', () => {
  const latin = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
  const edit = async (change: (text: string) => string): Promise<string> => {
    const path = join(folder, 'edited');
    await writeFile(path, Buffer.from(change(latin(await readFile(SAVED))), 'latin1'));
    return path;
  };
  const refused = (message: RegExp) =>
    expect.objectContaining({ code: 'invalid-data', message: expect.stringMatching(message) });

  it('that is no archive is refused', async () => {
    const path = await edit((text) => text.slice(0, -40));
    await expect(readTorchFile(path)).rejects.toThrow(refused(/no ZIP archive/));
  });

  it('that calls something else is refused, not obeyed', async () => {
    const path = await edit((text) => text.replace(CALL, `cos\n${'system'.padEnd(CALL.length - 5, '_')}\n`));
    await expect(readTorchFile(path)).rejects.toThrow(refused(/calls os\.system/));
  });

  it('whose tensors reach beyond their storage is refused', async () => {
    // Shape (128, 16) becomes (255, 16).
    const path = await edit((text) => text.replace('K\x80K\x10\x86', 'K\xffK\x10\x86'));
    await expect(readTorchFile(path)).rejects.toThrow(refused(/beyond its storage/));
  });

  it('whose pickle does more than make tensors is refused', async () => {
    const path = await edit((text) => text.replace('\x80\x02}q\x00(', '\x80\x02\x81q\x00('));
    await expect(readTorchFile(path)).rejects.toThrow(refused(/opcode 129/));
  });

  it('that is missing is named', async () => {
    await expect(readTorchFile(join(folder, 'none'))).rejects.toThrow(
      expect.objectContaining({ code: 'missing-tensor' }),
    );
  });
});
