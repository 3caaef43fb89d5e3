import { preprocessImage, createTokenizer } from '@speedq/processor';
import type { Tokenizer } from '@speedq/processor';
import { createCodec } from '@speedq/runtime';
import type { ImageFeaturesHandle } from '@speedq/runtime';
import { readFileSync } from 'node:fs';
import { argmax } from '../engine.ts';
import type { Engine, EngineKind } from '../engine.ts';
import type { OpenModel } from '../open-model.ts';

const pico = new URL('../../../models/pico/tokenizer.json', import.meta.url);
export const picoTokenizer: Tokenizer = createTokenizer(JSON.parse(readFileSync(pico, 'utf8')));
const STOP = picoTokenizer.tokenToId('<|im_end|>')!;
const IMAGE = picoTokenizer.tokenToId('<IMG_CONTEXT>')!;

/** What the model says to a prompt; `picture` is the mean pixel of the last picture shown. */
export type Script = (prompt: string, picture: number | undefined) => string;

interface MeanPixel extends ImageFeaturesHandle {
  readonly mean: number;
}

export interface ScriptedModel extends OpenModel {
  readonly calls: { encodeImages: number; ids: number };
}

/**
 * A model that says what its script says: its logits are `confidence` at the script's next token and 0 at every
 * other. It counts what it is asked to compute.
 */
export function scriptedModel(script: Script, kind: EngineKind = 'cpu', confidence = 20): ScriptedModel {
  const vocabSize = picoTokenizer.vocabSize;
  const calls = { encodeImages: 0, ids: 0 };
  let held: number[] = [];
  let picture: number | undefined;
  const header = picoTokenizer.encode('assistant\n');

  function next(ids: readonly number[]): number {
    // The answer begins after the last header; without one everything is answer.
    let start = ids.length;
    while (start > 0 && !header.every((id, i) => ids[start - header.length + i] === id)) start--;
    const prompt = picoTokenizer.decode(ids.slice(0, start));
    const answer = [...picoTokenizer.encode(script(prompt, ids.includes(IMAGE) ? picture : undefined)), STOP];
    return answer[ids.length - start] ?? STOP;
  }

  function logitsAfter(ids: readonly number[]): Float32Array {
    const logits = new Float32Array(vocabSize);
    logits[next(ids)] = confidence;
    return logits;
  }

  const engine: Engine = {
    kind,
    description: 'a script',
    isSoftware: false,
    vocabSize,
    memoryBytes: 0,
    maxContext: 512,
    get length() {
      return held.length;
    },
    encodeImages(pixels): Promise<MeanPixel> {
      calls.encodeImages++;
      const mean = pixels.reduce((sum, value) => sum + value, 0) / pixels.length;
      return Promise.resolve({ mean, destroy: () => undefined });
    },
    forward(ids, images, rows) {
      calls.ids += ids.length;
      if (images.length > 0) picture = (images.at(-1) as MeanPixel).mean;
      const logits = new Float32Array(rows * vocabSize);
      ids.forEach((id, i) => {
        held.push(id);
        const row = i - (ids.length - rows);
        if (row >= 0) logits.set(logitsAfter(held), row * vocabSize);
      });
      return Promise.resolve(logits);
    },
    async prefill(ids, images) {
      return argmax(await engine.forward(ids, images, 1));
    },
    async decode(count) {
      const tokens = new Uint32Array(count);
      let token = next(held);
      for (let i = 0; i < count; i++) tokens[i] = token = await engine.prefill(Uint32Array.of(token), []);
      return tokens;
    },
    readLogits: () => Promise.resolve(logitsAfter(held)),
    truncate(length) {
      held = held.slice(0, length);
    },
    destroy: () => undefined,
  };
  const metadata = {
    prompt: { systemPrompt: null, imageStart: '<img>', imageContext: '<IMG_CONTEXT>', imageEnd: '</img>' },
    stopTokenIds: [STOP],
    tokensPerTile: 4,
  };
  return {
    name: 'scripted',
    kind: 'float',
    engine,
    codec: createCodec(metadata, picoTokenizer),
    tokenizer: picoTokenizer,
    template: { tokenizer: picoTokenizer, tokensPerTile: metadata.tokensPerTile, systemPrompt: null },
    toPicture(image) {
      const options = { tileSize: 28, minTiles: 1, maxTiles: 1, mean: [0, 0, 0], std: [1, 1, 1] };
      const { tiles, pixelValues } = preprocessImage(image, options);
      return { tiles, pixels: pixelValues };
    },
    calls,
  };
}
