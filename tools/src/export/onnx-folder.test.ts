import * as ort from 'onnxruntime-node';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from '../cli.ts';
import { argmax } from '../eval/engine.ts';
import { openModel } from '../eval/open-model.ts';
import type { OpenModel } from '../eval/open-model.ts';
import { GRAPHS } from './graphs.ts';
import { drawPictureQuestions } from './testing/picture-questions.ts';
import type { PictureQuestion } from './testing/picture-questions.ts';

const PACKED = fileURLToPath(new URL('../../../web/public/models/pico-2bit', import.meta.url));
const QUESTIONS = 20;
const SEED = 31;
const MAX_NEW_TOKENS = 12;
/** Closer than this, rounding may decide which logit is the largest. */
const TIE = 1e-3;

let folder = '';
let reference: OpenModel;
let questions: PictureQuestion[];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'speedq-onnx-'));
  reference = await openModel(PACKED, 'cpu', { threads: 1, maxContext: 256 });
  const drawn = { seed: SEED, count: QUESTIONS, maxNewTokens: MAX_NEW_TOKENS };
  questions = await drawPictureQuestions(reference, drawn);
});
afterAll(async () => {
  reference.engine.destroy();
  await rm(folder, { recursive: true, force: true });
});

async function exportOnnx(name: string, ...more: string[]): Promise<string> {
  const out = join(folder, name);
  const terminal = { stdout: () => undefined, stderr: () => undefined, interactive: false, colour: false };
  const argv = ['export', PACKED, '--to', 'onnx', '--out', out, ...more];
  expect(await runCommandLine(argv, terminal)).toBe(0);
  return out;
}

type Cache = Record<string, ort.Tensor>;

/** The three graphs as transformers.js drives them: embed, put features in, one decoder for all steps. */
class Exported {
  private readonly sessions: readonly ort.InferenceSession[];
  private readonly config: Awaited<ReturnType<typeof readConfig>>;

  private constructor(sessions: readonly ort.InferenceSession[], config: Exported['config']) {
    this.sessions = sessions;
    this.config = config;
  }

  static async open(path: string, suffix: string): Promise<Exported> {
    const sessions: ort.InferenceSession[] = [];
    for (const name of GRAPHS) {
      const file = join(path, 'onnx', `${name}${suffix}.onnx`);
      sessions.push(await ort.InferenceSession.create(file, { intraOpNumThreads: 1, logSeverityLevel: 3 }));
    }
    return new Exported(sessions, await readConfig(path));
  }

  async encode(pixels: Float32Array, tiles: number, size: number): Promise<Float32Array> {
    const feeds = { pixel_values: new ort.Tensor('float32', pixels, [tiles, 3, size, size]) };
    return (await this.sessions[1].run(feeds)).image_features.data as Float32Array;
  }

  /** Logits after the last id, and the greedy ids. */
  async generate(
    prompt: Uint32Array,
    features: Float32Array,
    stop: ReadonlySet<number>,
  ): Promise<{ ids: number[]; first: Float32Array }> {
    const { num_key_value_heads: heads, head_dim: dim, num_hidden_layers: layers } = this.config.text_config;
    let past: Cache = {};
    for (let layer = 0; layer < layers; layer++) {
      for (const part of ['key', 'value']) {
        past[`past_key_values.${layer}.${part}`] = new ort.Tensor('float32', new Float32Array(0), [
          1,
          heads,
          0,
          dim,
        ]);
      }
    }
    const ids: number[] = [];
    let first: Float32Array | undefined;
    let next: ArrayLike<number> = prompt;
    for (let total = prompt.length; ids.length < MAX_NEW_TOKENS; total++) {
      const logits = await this.step(next, features, total, past);
      first ??= logits.last;
      past = logits.present;
      const token = argmax(logits.last);
      if (stop.has(token)) break;
      ids.push(token);
      next = [token];
    }
    return { ids, first: first! };
  }

  private async step(
    ids: ArrayLike<number>,
    features: Float32Array,
    total: number,
    past: Cache,
  ): Promise<{ last: Float32Array; present: Cache }> {
    const length = ids.length;
    const integers = (values: readonly number[]): ort.Tensor =>
      new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
    const embedded = (await this.sessions[0].run({ input_ids: integers(Array.from(ids)) })).inputs_embeds;
    const hidden = embedded.dims[2];
    const rows = embedded.data as Float32Array;
    let used = 0;
    const isPrompt = length > 1;
    for (let i = 0; i < length; i++) {
      if (!isPrompt || ids[i] !== this.config.image_token_id) continue;
      rows.set(features.subarray(used, (used += hidden)), i * hidden);
    }
    if (isPrompt) expect(used).toBe(features.length);
    const results = await this.sessions[2].run({
      ...past,
      inputs_embeds: embedded,
      attention_mask: integers(new Array<number>(total).fill(1)),
      position_ids: integers(Array.from({ length }, (_, i) => total - length + i)),
    });
    const logits = results.logits.data as Float32Array;
    const names = Object.keys(results).filter((name) => name.startsWith('present.'));
    const present = names.map((name) => [name.replace('present', 'past_key_values'), results[name]] as const);
    return {
      last: logits.subarray(logits.length - logits.length / length),
      present: Object.fromEntries(present),
    };
  }
}

async function readConfig(path: string) {
  return JSON.parse(await readFile(join(path, 'config.json'), 'utf8')) as {
    model_type: string;
    image_token_id: number;
    quantization_config?: unknown;
    text_config: { num_key_value_heads: number; head_dim: number; num_hidden_layers: number };
  };
}

describe('the ONNX export of packed pico', () => {
  it('says token by token what the CPU reference says', async () => {
    const exported = await Exported.open(await exportOnnx('exact'), '_q2');
    const answers = new Set<string>();
    let ties = 0;
    for (const { question, ids, pixels, tiles, expected, margin } of questions) {
      const features = await exported.encode(pixels, tiles, Math.sqrt(pixels.length / tiles / 3));
      const answer = await exported.generate(ids, features, reference.codec.stopTokens);
      if (margin < TIE) ties++;
      else expect(answer.ids, question).toEqual(expected);
      answers.add(expected.join(' '));
    }
    // A model that says one thing to everything would prove nothing.
    expect(answers.size).toBeGreaterThan(QUESTIONS / 4);
    expect(ties).toBeLessThan(3);
  });

  it('is LLaVA to stock builds of transformers.js', async () => {
    const config = await readConfig(await exportOnnx('named'));
    expect(config).toMatchObject({ model_type: 'llava', text_config: { model_type: 'qwen2' } });
    expect(config.quantization_config).toBeUndefined();
  });

  it('in its fast form has the same weights in wider fields', async () => {
    const fast = await Exported.open(await exportOnnx('fast', '--fast'), '_q4');
    const exact = await Exported.open(await exportOnnx('other'), '_q2');
    const [{ ids, pixels, tiles }] = questions;
    const side = Math.sqrt(pixels.length / tiles / 3);
    const logits = await Promise.all(
      [fast, exact].map(async (one) => {
        const features = await one.encode(pixels, tiles, side);
        return (await one.generate(ids, features, new Set())).first;
      }),
    );
    // Only the activations are rounded, to 8 bits.
    const norm = (values: Float32Array) => Math.hypot(...values);
    const difference = norm(logits[0].map((value, i) => value - logits[1][i])) / norm(logits[1]);
    expect(difference).toBeLessThan(0.1);
  });
});
