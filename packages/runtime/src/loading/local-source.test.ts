import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { servedModel, shardName } from '../testing/served-model.ts';
import { localSource } from './local-source.ts';
import { openModelFiles } from './model-files.ts';

const SHARD = shardName(0, 1);
const shard = Uint8Array.from({ length: 70_000 }, (_, i) => (i * i) >> 7);
const model = servedModel([shard]);

/** Python's zipfile, an implementation of others, at work on the files. */
function pythonZip(files: ReadonlyMap<string, Uint8Array>, script: string): Blob {
  const folder = mkdtempSync(join(tmpdir(), 'speedq-zip-'));
  try {
    for (const [name, bytes] of files) {
      mkdirSync(dirname(join(folder, 'in', name)), { recursive: true });
      writeFileSync(join(folder, 'in', name), bytes);
    }
    execFileSync('python3', ['-c', `import os, sys, zipfile\nos.chdir(sys.argv[1])\n${script}`, folder]);
    return new Blob([readFileSync(join(folder, 'out.zip'))]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const ALL = `
names = [os.path.relpath(os.path.join(d, f), 'in') for d, _, fs in os.walk('in') for f in fs]
def write(z, **options):
  for name in names: z.write(os.path.join('in', name), name, **options)
`;
const hasPython = (() => {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
})();

const file = (name: string, path = name): File => {
  const made = new File([model.get(name)!], name);
  Object.defineProperty(made, 'webkitRelativePath', { value: path === name ? '' : path });
  return made;
};

async function readShard(source: Awaited<ReturnType<typeof localSource>>): Promise<Uint8Array> {
  const files = await openModelFiles(source);
  await files.read('config.json');
  return await files.read(SHARD);
}

describe('a dropped folder', () => {
  it('is read, wherever in it the model is', async () => {
    const flat = await localSource([...model.keys()].map((name) => file(name)));
    expect(await readShard(flat)).toEqual(shard);
    const deep = [...model.keys()].map((name) => file(name, `models/pico/${name}`));
    expect(await readShard(await localSource(deep))).toEqual(shard);
  });

  it('without a manifest, without a file, or with one of another size is refused at once', async () => {
    await expect(localSource([file(SHARD)])).rejects.toMatchObject({ code: 'not-a-model' });
    const lacking = await localSource([file('manifest.json'), file('config.json')]);
    await expect(readShard(lacking)).rejects.toMatchObject({
      code: 'not-a-model',
      message: /lacks model-00001/,
    });
    const short = new File([shard.slice(1)], SHARD);
    const cut = await localSource([file('manifest.json'), file('config.json'), short]);
    await expect(readShard(cut)).rejects.toMatchObject({ code: 'file-truncated' });
  });
});

describe.skipIf(!hasPython)('a zip archive', () => {
  it.each([
    ['stored', "z = zipfile.ZipFile('out.zip', 'w'); write(z); z.close()"],
    ['deflated', "z = zipfile.ZipFile('out.zip', 'w', zipfile.ZIP_DEFLATED); write(z); z.close()"],
    [
      'with a comment',
      "z = zipfile.ZipFile('out.zip', 'w'); write(z); z.comment = b'PK\\x05\\x06 and so on'; z.close()",
    ],
    [
      'with 64-bit sizes',
      "z = zipfile.ZipFile('out.zip', 'w', zipfile.ZIP_DEFLATED)\nfor name in names:\n" +
        "  with z.open(name, 'w', force_zip64=True) as f: f.write(open('in/' + name, 'rb').read())\nz.close()",
    ],
    [
      'written to a stream',
      'class Pipe:\n  def __init__(self, f): self.f = f\n  def write(self, b): return self.f.write(b)\n' +
        "  def flush(self): self.f.flush()\nf = open('out.zip', 'wb')\n" +
        "z = zipfile.ZipFile(Pipe(f), 'w', zipfile.ZIP_DEFLATED); write(z); z.close(); f.close()",
    ],
  ])('%s is read', async (_how, script) => {
    const zip = pythonZip(new Map([...model].map(([name, bytes]) => [`pico/${name}`, bytes])), ALL + script);
    expect(await readShard(await localSource(zip))).toEqual(shard);
  });

  it.each([
    ['outside its folder', "z.writestr('../x', b'x')", /path "\.\.\/x"/],
    ['with an absolute path', "z.writestr('/x', b'x')", /path "\/x"/],
    ['twice', "z.writestr('config.json', b'x')", /holds config\.json twice/],
    ['compressed otherwise', "z.writestr('x', b'x' * 999, compress_type=zipfile.ZIP_LZMA)", /method 14/],
  ])('that holds a file %s is refused', async (_what, more, message) => {
    const script = `import warnings; warnings.simplefilter('ignore')\n${ALL}z = zipfile.ZipFile('out.zip', 'w'); write(z); ${more}; z.close()`;
    await expect(localSource(pythonZip(model, script))).rejects.toMatchObject({
      code: 'invalid-archive',
      message,
    });
  });

  it('that is cut off or whose entry unpacks to more than it says is refused', async () => {
    const whole = pythonZip(
      model,
      `${ALL}z = zipfile.ZipFile('out.zip', 'w', zipfile.ZIP_DEFLATED); write(z); z.close()`,
    );
    await expect(localSource(whole.slice(0, whole.size - 1))).rejects.toMatchObject({
      code: 'invalid-archive',
    });
    const bytes = new Uint8Array(await whole.arrayBuffer());
    const view = new DataView(bytes.buffer);
    const sizes = [70_000, 69_999];
    for (let at = 0; at + 4 <= bytes.length; at++) {
      // Both descriptions of the shard say one byte less than there is.
      if (view.getUint32(at, true) === sizes[0]) view.setUint32(at, sizes[1], true);
    }
    const source = await localSource(new Blob([bytes]));
    await expect(readShard(source)).rejects.toMatchObject({ code: 'file-truncated' });
  });
});
