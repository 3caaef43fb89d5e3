import { SpeedqError } from '@speedq/format';
import { describe, expect, test } from 'vitest';
import { canonicalTensors } from './checkpoint.ts';
import type { RawTensorSource } from './checkpoint.ts';
import type { InternVLConfig } from './config.ts';
import { elementCount, parameterInventory } from './inventory.ts';

const config: InternVLConfig = {
  layout: 'huggingface',
  vision: {
    hiddenSize: 6,
    numLayers: 1,
    numHeads: 3,
    intermediateSize: 5,
    imageSize: 4,
    patchSize: 2,
    layerNormEps: 1e-6,
  },
  language: {
    hiddenSize: 4,
    numLayers: 2,
    numHeads: 2,
    numKeyValueHeads: 1,
    headDim: 2,
    intermediateSize: 7,
    vocabSize: 9,
    rmsNormEps: 1e-6,
    ropeTheta: 1e6,
    maxPositionEmbeddings: 16,
  },
  tokensPerTile: 1,
  imageTokenId: 8,
  mayTieHead: false,
};

interface Stored {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

const inventory = parameterInventory(config);

/** Every parameter under its canonical name, all values distinct. */
function canonicalCheckpoint(): Map<string, Stored> {
  let next = 0;
  return new Map(
    inventory.map(({ name, shape }) => {
      const values = Float32Array.from({ length: elementCount(shape) }, () => next++);
      return [name, { shape, values }];
    }),
  );
}

function source(tensors: ReadonlyMap<string, Stored>): RawTensorSource {
  return {
    names: () => [...tensors.keys()],
    shape: (name) => tensors.get(name)!.shape,
    read: (name) => Promise.resolve(tensors.get(name)!.values),
  };
}

function renamed(rename: (name: string) => string): Map<string, Stored> {
  return new Map([...canonicalCheckpoint()].map(([name, tensor]) => [rename(name), tensor]));
}

async function expectCanonical(tensors: ReadonlyMap<string, Stored>): Promise<void> {
  const checkpoint = canonicalTensors(source(tensors), config);
  for (const [name, { values }] of canonicalCheckpoint()) {
    expect(await checkpoint.read(name), name).toEqual(values);
  }
}

function codeOf(tensors: ReadonlyMap<string, Stored>, changes: Partial<InternVLConfig> = {}): string {
  try {
    canonicalTensors(source(tensors), { ...config, ...changes });
  } catch (error) {
    expect(error).toBeInstanceOf(SpeedqError);
    return `${(error as SpeedqError).code}: ${(error as SpeedqError).message}`;
  }
  return 'no error';
}

describe('namings', () => {
  test('Hugging Face on disk', () => expectCanonical(canonicalCheckpoint()));

  test('Hugging Face in memory', () =>
    expectCanonical(
      renamed((name) =>
        name === 'language_model.lm_head.weight'
          ? 'lm_head.weight'
          : `model.${name.replace('language_model.model.', 'language_model.')}`,
      ),
    ));

  test('on disk with the prefix of the outer class', () =>
    expectCanonical(renamed((name) => `model.${name}`)));

  test('original, with fused qkv', async () => {
    const tensors = canonicalCheckpoint();
    const move = (from: string, to: string) => {
      tensors.set(to, tensors.get(from)!);
      tensors.delete(from);
    };
    move('vision_tower.embeddings.cls_token', 'vision_model.embeddings.class_embedding');
    move('vision_tower.embeddings.position_embeddings', 'vision_model.embeddings.position_embedding');
    for (const kind of ['weight', 'bias']) {
      move(
        `vision_tower.embeddings.patch_embeddings.projection.${kind}`,
        `vision_model.embeddings.patch_embedding.${kind}`,
      );
      const layer = 'vision_tower.encoder.layer.0';
      const target = 'vision_model.encoder.layers.0';
      const parts = ['q', 'k', 'v'].map((name) => `${layer}.attention.${name}_proj.${kind}`);
      const shape = tensors.get(parts[0])!.shape;
      const values = parts.flatMap((name) => [...tensors.get(name)!.values]);
      for (const name of parts) tensors.delete(name);
      tensors.set(`${target}.attn.qkv.${kind}`, {
        shape: [18, ...shape.slice(1)],
        values: Float32Array.from(values),
      });
      move(`${layer}.attention.projection_layer.${kind}`, `${target}.attn.proj.${kind}`);
      move(`${layer}.layernorm_before.${kind}`, `${target}.norm1.${kind}`);
      move(`${layer}.layernorm_after.${kind}`, `${target}.norm2.${kind}`);
      for (const name of ['fc1', 'fc2'])
        move(`${layer}.mlp.${name}.${kind}`, `${target}.mlp.${name}.${kind}`);
      move(`multi_modal_projector.layer_norm.${kind}`, `mlp1.0.${kind}`);
      move(`multi_modal_projector.linear_1.${kind}`, `mlp1.1.${kind}`);
      move(`multi_modal_projector.linear_2.${kind}`, `mlp1.3.${kind}`);
    }
    for (const n of [1, 2]) {
      move(`vision_tower.encoder.layer.0.lambda_${n}`, `vision_model.encoder.layers.0.ls${n}`);
    }
    await expectCanonical(tensors);
    const checkpoint = canonicalTensors(source(tensors), config);
    const key = canonicalCheckpoint().get('vision_tower.encoder.layer.0.attention.k_proj.weight')!.values;
    const rows = await checkpoint.readRows('vision_tower.encoder.layer.0.attention.k_proj.weight', 2, 5);
    expect(rows).toEqual(key.slice(12, 30));
  });

  test('buffers are no parameters', () => {
    const tensors = canonicalCheckpoint();
    const values = new Float32Array(1);
    tensors.set('language_model.model.layers.0.self_attn.rotary_emb.inv_freq', { shape: [1], values });
    expect(codeOf(tensors)).toBe('no error');
  });
});

describe('what does not add up', () => {
  const up = 'language_model.model.layers.1.mlp.up_proj.weight';

  test('a missing tensor is named', () => {
    const tensors = canonicalCheckpoint();
    tensors.delete(up);
    expect(codeOf(tensors)).toMatch(/^missing-tensor: .*layers\.1\.mlp\.up_proj/);
  });

  test('a wrong shape says expected and found', () => {
    const tensors = canonicalCheckpoint();
    tensors.set(up, { shape: [4, 7], values: new Float32Array(28) });
    expect(codeOf(tensors)).toMatch(/^shape-mismatch: .*up_proj.*\[7, 4\].*\[4, 7\]/);
  });

  test('a checkpoint of more layers than the configuration', () => {
    const shorter = { language: { ...config.language, numLayers: 1 } };
    expect(codeOf(canonicalCheckpoint(), shorter)).toMatch(/^unexpected-tensor: .*layers\.1\./);
  });

  test('one parameter stored under two names', () => {
    const tensors = canonicalCheckpoint();
    tensors.set(`model.${up}`, tensors.get(up)!);
    expect(codeOf(tensors)).toMatch(/^unexpected-tensor: .*twice/);
  });
});

describe('the head', () => {
  const head = 'language_model.lm_head.weight';

  test('is the embedding table only where it is absent and may be', async () => {
    const tensors = canonicalCheckpoint();
    const mayTieHead = { ...config, mayTieHead: true };
    const untied = canonicalTensors(source(tensors), mayTieHead);
    expect(untied.headIsTied).toBe(false);
    expect(await untied.read(head)).toEqual(tensors.get(head)!.values);

    tensors.delete(head);
    const tied = canonicalTensors(source(tensors), mayTieHead);
    expect(tied.headIsTied).toBe(true);
    expect(await tied.read(head)).toEqual(tensors.get('language_model.model.embed_tokens.weight')!.values);
    expect(codeOf(tensors)).toMatch(/^missing-tensor: .*lm_head/);
  });
});
