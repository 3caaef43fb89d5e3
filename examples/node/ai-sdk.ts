/** npx tsx examples/node/ai-sdk.ts: streaming through the Vercel AI SDK. */
import { createSpeedq } from '@speedq/runtime/ai-sdk';
import { LanguageModel } from '@speedq/runtime/node';
import { streamText } from 'ai';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const shipped = new URL('../../web/public/', import.meta.url);

export async function streamAnswer(onText: (text: string) => void): Promise<void> {
  const speedq = createSpeedq({
    LanguageModel,
    models: { pico: fileURLToPath(new URL('models/pico-2bit', shipped)) },
  });
  try {
    const { textStream } = streamText({
      model: speedq('pico'),
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image', image: await readFile(new URL('samples/farm.png', shipped)) },
            { type: 'text', text: 'What is in the picture?' },
          ],
        },
      ],
    });
    for await (const text of textStream) onText(text);
  } finally {
    speedq.destroy();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await streamAnswer((text) => process.stdout.write(text));
  process.stdout.write('\n');
}
