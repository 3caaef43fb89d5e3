/** npx tsx examples/node/chat-completions.ts: the shape of OpenAI's client, with an answer held to a schema. */
import { LanguageModel } from '@speedq/runtime/node';
import { OpenAI } from '@speedq/runtime/openai';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const shipped = new URL('../../web/public/', import.meta.url);

export async function countAnimals(): Promise<{ animal: string; count: number }> {
  const client = new OpenAI({
    LanguageModel,
    models: { pico: fileURLToPath(new URL('models/pico-2bit', shipped)) },
  });
  try {
    const picture = await readFile(new URL('samples/farm.png', shipped), 'base64');
    const completion = await client.chat.completions.create({
      model: 'pico',
      messages: [
        {
          role: 'user',
          content: [
            { type: 'image_url', image_url: { url: `data:image/png;base64,${picture}` } },
            { type: 'text', text: 'How many cows are there?' },
          ],
        },
      ],
      max_completion_tokens: 60,
      response_format: {
        type: 'json_schema',
        json_schema: {
          name: 'animals',
          schema: {
            type: 'object',
            properties: {
              animal: { enum: ['cow', 'pig'] },
              count: { type: 'integer', minimum: 0, maximum: 9 },
            },
            required: ['animal', 'count'],
          },
        },
      },
    });
    return JSON.parse(completion.choices[0].message.content) as { animal: string; count: number };
  } finally {
    client.destroy();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await countAnimals());
