import { decodeImage } from '@speedq/processor/node';
import { ChatEngine, checkSampling } from '@speedq/runtime';
import type { ChatPart, ResponseStats } from '@speedq/runtime';
import { readFile } from 'node:fs/promises';
import { defineCommand } from '../cli/command.ts';
import { createRandom } from '../data/random.ts';
import { ENGINES } from '../eval/engine.ts';
import { openModel } from '../eval/open-model.ts';
import { formatDuration } from '../output.ts';

export const generate = defineCommand({
  args: { model: { description: 'folder of a float or packed model' } },
  options: {
    prompt: { type: 'string', hint: 'TEXT', required: true, description: 'what to ask' },
    image: { type: 'string', hint: 'FILE', multiple: true, description: 'picture to ask about' },
    engine: {
      type: 'string',
      choices: ['auto', ...ENGINES],
      default: 'auto',
      description:
        'webgpu; wasm: what browsers without it run; cpu: float32 by onnxruntime; auto: webgpu on a graphics card, else cpu',
    },
    maxNewTokens: { type: 'integer', min: 1, default: 256, description: 'longest answer in tokens' },
    temperature: { type: 'number', min: 0, default: 0, description: '0: greedy' },
    seed: { type: 'integer', min: 0, default: 0, description: 'of the draws at a temperature above 0' },
    threads: { type: 'integer', min: 1, description: 'threads of the cpu engine (default: all cores)' },
  },
  examples: [
    {
      does: 'Ask about a picture',
      line: 'generate web/public/models/pico-2bit --image web/public/samples/farm.png --prompt "Where is the cow?"',
    },
    {
      does: 'On the kernels of the web page, with dice',
      line: 'generate web/public/models/pico-2bit --engine webgpu --temperature 0.8 --prompt "What colour is a lemon?"',
    },
  ],
  details: 'The answer is printed as it comes. Pictures stand before the text, in the order given.',
  async run({ args, options, output, signal }) {
    const { prompt, temperature, maxNewTokens } = options;
    const random = createRandom(options.seed);
    const sampling = temperature === 0 ? undefined : { temperature, random: () => random.next() };
    if (sampling !== undefined) checkSampling(sampling);
    const images = await Promise.all(options.image.map(async (file) => decodeImage(await readFile(file))));
    const model = await openModel(args.model, options.engine, { threads: options.threads });
    const chat = new ChatEngine(model.engine, model.codec);
    try {
      const { kind, description, isSoftware } = model.engine;
      output.note(`${model.name} on ${kind}: ${description}${isSoftware ? ' (software, slow)' : ''}`);
      const parts: ChatPart[] = images.map((image) => ({ type: 'image', picture: model.toPicture(image) }));
      parts.push({ type: 'text', text: prompt });
      let stats: ResponseStats | undefined;
      let text = '';
      const answer = chat.respond(chat.encode([{ role: 'user', parts }], true), {
        maxNewTokens,
        sampling,
        signal,
        onStats: (measured) => (stats = measured),
      });
      for await (const piece of answer) {
        text += piece;
        output.write(piece);
        output.event('text', { text: piece });
      }
      output.print();
      const { promptTokens, newTokens, prefillSeconds, decodeSeconds } = stats!;
      // The first token belongs to the prefill.
      const tokensPerSecond = newTokens > 1 ? (newTokens - 1) / decodeSeconds : 0;
      const speed = newTokens > 1 ? `, ${tokensPerSecond.toFixed(1)} tokens/s` : '';
      output.note(
        `${newTokens} token${newTokens === 1 ? '' : 's'}${speed}, first after ${formatDuration(prefillSeconds)}`,
      );
      return {
        text,
        tokens: newTokens,
        promptTokens,
        tokensPerSecond,
        timeToFirstToken: prefillSeconds,
        engine: kind,
        adapter: description,
        memoryBytes: model.engine.memoryBytes,
      };
    } finally {
      chat.destroy();
    }
  },
});
