import type { PackedManifest } from '@speedq/format';
import type { TensorSource } from '@speedq/model';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defineCommand } from '../cli/command.ts';
import { writeGgufFolder } from '../export/gguf/gguf-folder.ts';
import { writeOnnxFolder } from '../export/onnx-folder.ts';
import { openReferenceCodes } from '../import/reference-codes.ts';
import { modelConfigText } from '../json-file.ts';
import { requireFloat, requirePacked, withModelFolder } from '../model-folder.ts';
import type { ModelFolder } from '../model-folder.ts';
import { writeOutputFolder } from '../output-folder.ts';
import { formatBytes } from '../output.ts';
import { writeFloatCheckpoint } from '../packing/float-checkpoint.ts';
import type { FloatTensor } from '../packing/float-checkpoint.ts';
import { originalLayout } from '../packing/original-layout.ts';
import { packModel, sideFiles } from '../packing/pack-model.ts';
import { loadRecipe } from '../recipes/load-recipe.ts';

export const exportModel = defineCommand({
  args: {
    model: { description: 'folder of a float model (for packed) or of a packed one (for all else)' },
  },
  options: {
    to: {
      type: 'string',
      required: true,
      choices: ['packed', 'float', 'onnx', 'gguf'],
      description:
        'packed: round to nearest and pack; float: dequantize to safetensors that other tools read; ' +
        'onnx: the graphs that transformers.js runs; gguf: language model and mmproj for llama.cpp',
    },
    out: { type: 'string', hint: 'DIR', required: true, description: 'folder to write' },
    recipe: {
      type: 'string',
      hint: 'NAME|FILE',
      default: '2bit',
      description: 'name or JSON file; for --to packed',
    },
    fast: {
      type: 'boolean',
      description:
        'for --to onnx: 2-bit codes in 4-bit fields and 8-bit activations, where exact kernels are slow',
    },
    dtype: {
      type: 'string',
      choices: ['f32', 'bf16'],
      default: 'f32',
      description: 'for --to float; no 16-bit format holds dequantized weights exactly',
    },
    codes: {
      type: 'string',
      hint: 'DIR',
      description:
        "for --to packed: integer codes that the reference implementation's export wrote; in place of a recipe, " +
        'what they do not cover stays float',
    },
    reference: {
      type: 'boolean',
      description: "for --to packed: round as the reference implementation's export does, in bfloat16",
    },
    force: { type: 'boolean', description: 'replace an earlier output' },
  },
  examples: [
    {
      does: 'Round to nearest and pack',
      line: 'export tools/models/pico --to packed --recipe 4bit --out pico-4bit',
    },
    {
      does: 'Back to safetensors that other tools read',
      line: 'export pico-4bit --to float --out pico-float',
    },
    { does: 'Graphs for transformers.js', line: 'export pico-4bit --to onnx --out pico-onnx' },
  ],
  async run({ args, options, output, progress, signal }) {
    const { out, force } = options;
    return withModelFolder(args.model, async (folder) => {
      const task = progress.start(`exporting ${folder.name}`);
      if (options.to === 'float') {
        await exportFloat(folder, { out, force, dtype: options.dtype, signal });
        task.finish();
        output.print(out);
        return { out, kind: 'float', dtype: options.dtype, layout: folder.config.layout };
      }
      if (options.to === 'onnx') {
        await writeOnnxFolder({
          folder: requirePacked(folder),
          out,
          force,
          signal,
          fast: options.fast,
          onGraph(done, total) {
            task.total = total;
            task.update(done);
          },
        });
        task.finish();
        output.print(out);
        return { out, kind: 'onnx', fast: options.fast };
      }
      if (options.to === 'gguf') {
        await writeGgufFolder({
          folder: requirePacked(folder),
          out,
          force,
          signal,
          onTensor(done, total) {
            task.total = total;
            task.update(done);
          },
        });
        task.finish();
        output.print(out);
        return { out, kind: 'gguf' };
      }
      const float = requireFloat(folder);
      const codes =
        options.codes === undefined ? undefined : await openReferenceCodes(options.codes, float.tensors);
      const recipe = codes?.recipe ?? (await loadRecipe(options.recipe));
      const manifest = await packModel({
        folder: float,
        recipe,
        override: codes && (async (name) => ({ packed: await codes.read(name) })),
        asReferenceExport: options.reference,
        outDir: out,
        force,
        signal,
        onShard: (done, total) => {
          task.total = total;
          task.update(done);
        },
      });
      const bytes = totalBytes(manifest);
      task.finish(`${manifest.files.length} files, ${formatBytes(bytes)}`);
      output.print(out);
      const method = codes === undefined ? 'rtn' : 'codes';
      return { out, kind: 'packed', recipe: recipe.name, method, files: manifest.files.length, bytes };
    });
  },
});

function totalBytes({ files }: PackedManifest): number {
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

interface FloatOptions {
  readonly out: string;
  readonly force: boolean;
  readonly dtype: 'f32' | 'bf16';
  readonly signal: AbortSignal;
}

/** In the layout the packed model came from, Hugging Face's or the original. */
async function exportFloat(folder: ModelFolder, { out, force, dtype, signal }: FloatOptions): Promise<void> {
  requirePacked(folder);
  await writeOutputFolder(out, { force, marker: 'config.json' }, async (partial) => {
    const { quantization_config: _, ...config } = folder.configJson;
    const key = 'dtype' in config ? 'dtype' : 'torch_dtype';
    await writeFile(
      join(partial, 'config.json'),
      modelConfigText({ ...config, [key]: dtype === 'f32' ? 'float32' : 'bfloat16' }),
    );
    for (const file of sideFiles(folder)) await copyFile(join(folder.path, file), join(partial, file));
    const tensors = storedTensors(folder, signal);
    await writeFloatCheckpoint(join(partial, 'model.safetensors'), tensors, dtype === 'f32' ? 'F32' : 'BF16');
  });
}

/** The tensors under the names that go with the folder's config.json. */
function storedTensors({ config, tensors }: ModelFolder, signal: AbortSignal): FloatTensor[] {
  const named =
    config.layout === 'original'
      ? originalLayout(tensors.parameters)
      : tensors.parameters.map(({ name, shape }) => ({ name, shape, sources: [name] }));
  return named.map(({ name, shape, sources }) => ({
    name,
    shape,
    chunks: () => readAll(tensors, sources, signal),
  }));
}

async function* readAll(tensors: TensorSource, names: readonly string[], signal: AbortSignal) {
  for (const name of names) {
    signal.throwIfAborted();
    yield await tensors.read(name);
  }
}
