import { parameterInventory } from '@speedq/model';
import { copyFile, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { modelConfigText } from '../json-file.ts';
import type { PackedModelFolder } from '../model-folder.ts';
import { writeOutputFolder } from '../output-folder.ts';
import { sideFiles } from '../packing/pack-model.ts';
import type { BlockWeights } from '@speedq/onnx';
import { blockWeights } from './block-weights.ts';
import { buildGraph, GRAPHS } from './graphs.ts';
import type { GraphName } from './graphs.ts';
import type { GraphWeights } from './graph-weights.ts';

export interface OnnxExportOptions {
  readonly folder: PackedModelFolder;
  readonly out: string;
  /** Exact: 2-bit codes as they are. Else in 4-bit fields, with activations rounded to 8 bits: far faster. */
  readonly fast: boolean;
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onGraph?: (done: number, total: number) => void;
}

/** Constants from this size on stand in a file of their own: a protobuf holds 2 GB at most. */
const EXTERNAL_BYTES = 1024;

/**
 * Writes the layout of transformers.js: config.json that calls the model LLaVA, the tokenizer's files, and
 * onnx/{embed_tokens,vision_encoder,decoder_model_merged}_q2.onnx with their data beside them.
 */
export async function writeOnnxFolder(options: OnnxExportOptions): Promise<void> {
  const { folder, out, fast, force, signal, onGraph } = options;
  const suffix = fast ? '_q4' : '_q2';
  await writeOutputFolder(out, { force, marker: 'config.json' }, async (partial) => {
    await mkdir(join(partial, 'onnx'));
    for (const file of sideFiles(folder)) await copyFile(join(folder.path, file), join(partial, file));
    await writeFile(join(partial, 'config.json'), modelConfigText(onnxConfig(folder, suffix)));
    for (const [i, name] of GRAPHS.entries()) {
      signal.throwIfAborted();
      await writeGraph(
        join(partial, 'onnx'),
        `${name}${suffix}`,
        name,
        await readWeights(folder, name, fast),
        folder,
      );
      onGraph?.(i + 1, GRAPHS.length);
    }
  });
}

async function writeGraph(
  path: string,
  base: string,
  name: GraphName,
  weights: GraphWeights,
  { config }: PackedModelFolder,
): Promise<void> {
  const file = `${base}.onnx_data`;
  const parts: Uint8Array[] = [];
  let offset = 0;
  const model = buildGraph(name, config, weights).build((bytes) => {
    if (bytes.byteLength < EXTERNAL_BYTES) return undefined;
    const place = { file, offset };
    parts.push(bytes);
    offset += bytes.byteLength;
    return place;
  });
  await writeFile(join(path, `${base}.onnx`), model);
  const data = await open(join(path, file), 'wx');
  try {
    for (const part of parts) await data.writeFile(part);
  } finally {
    await data.close();
  }
}

function isOf(graph: GraphName, parameter: string): boolean {
  const isEmbedding = parameter === 'language_model.model.embed_tokens.weight';
  if (graph === 'embed_tokens') return isEmbedding;
  return parameter.startsWith('language_model.') === (graph === 'decoder_model_merged') && !isEmbedding;
}

async function readWeights(
  folder: PackedModelFolder,
  graph: GraphName,
  fast: boolean,
): Promise<GraphWeights> {
  const float = new Map<string, { shape: readonly number[]; values: Float32Array }>();
  const blocks = new Map<string, BlockWeights>();
  for (const { name, shape } of parameterInventory(folder.config)) {
    if (!isOf(graph, name)) continue;
    const quantized = blockWeights(await folder.weights.readPacked(name), fast);
    if (quantized !== undefined) blocks.set(name, quantized);
    else float.set(name, { shape, values: await folder.tensors.read(name) });
  }
  return { float, blocks, accuracyLevel: fast ? 4 : 0 };
}

/** Stock builds of transformers.js know no InternVL; with these graphs it is LLaVA. */
function onnxConfig({ configJson, config }: PackedModelFolder, suffix: string): Record<string, unknown> {
  const { quantization_config: _, ...rest } = configJson;
  const { hiddenSize, numLayers, numHeads, numKeyValueHeads, headDim, vocabSize } = config.language;
  const text = (rest.text_config ?? rest.llm_config) as Record<string, unknown>;
  return {
    ...rest,
    model_type: 'llava',
    architectures: ['LlavaForConditionalGeneration'],
    image_token_id: config.imageTokenId,
    image_token_index: config.imageTokenId,
    text_config: {
      ...text,
      model_type: 'qwen2',
      hidden_size: hiddenSize,
      num_hidden_layers: numLayers,
      num_attention_heads: numHeads,
      num_key_value_heads: numKeyValueHeads,
      head_dim: headDim,
      vocab_size: vocabSize,
    },
    'transformers.js_config': { dtype: suffix.slice(1), use_external_data_format: true },
  };
}
