import { elementCount } from '@speedq/model';
import type { InternVLConfig, ModelPart } from '@speedq/model';
import { defineCommand } from '../cli/command.ts';
import { withModelFolder } from '../model-folder.ts';
import type { FloatModelFolder, ModelFolder, PackedModelFolder } from '../model-folder.ts';
import { formatBytes, formatCount } from '../output.ts';
import type { Output } from '../output.ts';
import { readTokenizer, resolveMetadata } from '../packing/metadata.ts';
import { summarizeStorage } from '../packing/summary.ts';
import type { StorageRow } from '../packing/summary.ts';

export const inspect = defineCommand({
  args: { model: { description: 'folder of a float or packed model' } },
  options: {
    tensors: { type: 'boolean', description: 'list every tensor' },
  },
  examples: [
    { does: 'Architecture, parameters, storage, problems', line: 'inspect web/public/models/pico-2bit' },
    { does: 'Every tensor, for a program', line: 'inspect tools/models/pico --tensors --json' },
  ],
  async run({ args, options, output }) {
    return withModelFolder(args.model, async (folder) => {
      const { config, tensors } = folder;
      const parts = parametersByPart(folder);
      const total = parts.reduce((sum, { parameters }) => sum + parameters, 0);
      output.print(`${output.bold(folder.name)}  ${folder.kind} model, ${config.layout} layout`);
      output.print();
      printArchitecture(config, output);
      output.print();
      output.table(
        [
          ['part', 'tensors', 'parameters'],
          ...parts.map(({ part, tensors, parameters }) => [part, `${tensors}`, formatCount(parameters)]),
          ['total', `${tensors.parameters.length}`, formatCount(total)],
        ],
        [1, 2],
      );
      output.print();
      const storage =
        folder.kind === 'packed' ? await packedStorage(folder, output) : floatStorage(folder, output);
      if (options.tensors) await listTensors(folder, output);
      const problems = await findProblems(folder);
      output.print();
      if (problems.length === 0) output.print('Nothing is wrong with it, as far as this can tell.');
      for (const problem of problems) output.print(`! ${problem}`);
      return {
        name: folder.name,
        kind: folder.kind,
        layout: config.layout,
        config,
        headIsTied: tensors.headIsTied,
        parameters: total,
        parts,
        ...storage,
        problems,
      };
    });
  },
});

function parametersByPart({ tensors }: ModelFolder) {
  const parts = new Map<ModelPart, { part: ModelPart; tensors: number; parameters: number }>();
  for (const { part, shape } of tensors.parameters) {
    const entry = parts.get(part) ?? { part, tensors: 0, parameters: 0 };
    entry.tensors += 1;
    entry.parameters += elementCount(shape);
    parts.set(part, entry);
  }
  return [...parts.values()];
}

function printArchitecture(
  { vision, language, tokensPerTile, imageTokenId }: InternVLConfig,
  output: Output,
) {
  output.table([
    [
      'vision encoder',
      `${vision.numLayers} layers, ${vision.hiddenSize} wide, ${vision.numHeads} heads, MLP ${vision.intermediateSize}`,
    ],
    [
      'pictures',
      `tiles of ${vision.imageSize}×${vision.imageSize}, patches of ${vision.patchSize}, ${tokensPerTile} tokens a tile ` +
        `(id ${imageTokenId})`,
    ],
    [
      'language model',
      `${language.numLayers} layers, ${language.hiddenSize} wide, ${language.numHeads} heads of ${language.headDim} ` +
        `over ${language.numKeyValueHeads} key-value heads, MLP ${language.intermediateSize}`,
    ],
    [
      'text',
      `vocabulary of ${formatCount(language.vocabSize)}, up to ${formatCount(language.maxPositionEmbeddings)} positions, ` +
        `RoPE base ${formatCount(language.ropeTheta)}`,
    ],
  ]);
}

function floatStorage({ weights }: FloatModelFolder, output: Output) {
  const byDtype = new Map<string, { dtype: string; tensors: number; bytes: number }>();
  for (const name of weights.names()) {
    const { dtype, bytes } = weights.info(name);
    const entry = byDtype.get(dtype) ?? { dtype, tensors: 0, bytes: 0 };
    entry.tensors += 1;
    entry.bytes += bytes;
    byDtype.set(dtype, entry);
  }
  const storage = [...byDtype.values()];
  output.table(
    [
      ['stored as', 'tensors', 'bytes'],
      ...storage.map(({ dtype, tensors, bytes }) => [dtype, `${tensors}`, formatCount(bytes)]),
    ],
    [1, 2],
  );
  return { storage, bytes: storage.reduce((sum, { bytes }) => sum + bytes, 0) };
}

async function packedStorage({ weights, tensors }: PackedModelFolder, output: Output) {
  const stored = [];
  for (const parameter of tensors.parameters) {
    const { scheme } = weights.manifest.tensors.get(parameter.name)!;
    stored.push({ parameter, scheme, bytes: await weights.storedBytes(parameter.name) });
  }
  const storage = summarizeStorage(stored);
  printStorage(storage, output);
  const bytes = storage.reduce((sum, row) => sum + row.bytes, 0);
  const fileBytes = weights.manifest.files.reduce((sum, file) => sum + file.bytes, 0);
  output.print(
    `${formatCount(bytes)} bytes of tensors, ${formatCount(fileBytes)} bytes (${formatBytes(fileBytes)}) of files`,
  );
  return { storage, bytes, fileBytes };
}

/** Bits per weight come from the bytes in the shards; beside them what the formula says. */
export function printStorage(storage: readonly StorageRow[], output: Output): void {
  output.table(
    [
      ['part', 'scheme', 'tensors', 'parameters', 'bytes', 'formula', 'bits/weight', 'formula'],
      ...storage.map((row) => [
        row.part,
        row.scheme,
        `${row.tensors}`,
        formatCount(row.parameters),
        formatCount(row.bytes),
        formatCount(row.formulaBytes),
        `${row.bitsPerWeight}`,
        `${row.formulaBitsPerWeight}`,
      ]),
    ],
    [2, 3, 4, 5, 6, 7],
  );
}

async function listTensors(folder: ModelFolder, output: Output): Promise<void> {
  output.print();
  for (const { name, shape } of folder.tensors.parameters) {
    const bytes = folder.kind === 'packed' ? await folder.weights.storedBytes(name) : undefined;
    output.print(
      `${name}  [${shape.join(', ')}]${bytes === undefined ? '' : `  ${formatCount(bytes)} bytes`}`,
    );
    output.event('tensor', { name, shape, bytes });
  }
}

/** What would go wrong later, found without reading weights; what makes a folder unusable is thrown before. */
async function findProblems(folder: ModelFolder): Promise<string[]> {
  const problems: string[] = [];
  const { config, tensors } = folder;
  const { vocabSize } = config.language;
  const tokenizer = await readTokenizer(folder);
  const { stopTokenIds, prompt } = await resolveMetadata(folder);
  if (tokenizer === undefined) {
    problems.push(
      'No tokenizer files: text cannot be given to it. Copy tokenizer.json from the model it came from.',
    );
  } else {
    const id = tokenizer.tokenToId(prompt.imageContext);
    if (id !== config.imageTokenId) {
      problems.push(
        `${prompt.imageContext} is token ${id}, but the configuration says ${config.imageTokenId}.`,
      );
    }
  }
  if (config.imageTokenId >= vocabSize) {
    problems.push(`Image token ${config.imageTokenId} is outside the vocabulary of ${vocabSize}.`);
  }
  if (stopTokenIds.length === 0) problems.push('No stop token: answers end only at their length limit.');
  if (tensors.headIsTied) problems.push('There is no head tensor: the embedding table serves as head.');
  if (folder.kind === 'packed') {
    for (const name of tensors.parameters.map((parameter) => parameter.name)) {
      const bytes = await folder.weights.storedBytes(name);
      if (bytes % 4 !== 0) problems.push(`${name} has ${bytes} bytes, not a multiple of 4.`);
    }
  }
  return problems;
}
