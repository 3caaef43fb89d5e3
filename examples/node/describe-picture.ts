/** npx tsx examples/node/describe-picture.ts [MODEL FOLDER] [PICTURE]: the Prompt API in Node. */
import { LanguageModel } from '@speedq/runtime/node';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const shipped = new URL('../../web/public/', import.meta.url);

export async function describePicture(
  model = fileURLToPath(new URL('models/pico-2bit', shipped)),
  picture = fileURLToPath(new URL('samples/farm.png', shipped)),
): Promise<string> {
  const session = await LanguageModel.create({ model, expectedInputs: [{ type: 'image' }] });
  try {
    return await session.prompt([
      {
        role: 'user',
        content: [
          { type: 'image', value: await readFile(picture) },
          { type: 'text', value: 'What is in the picture?' },
        ],
      },
    ]);
  } finally {
    session.destroy();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(await describePicture(process.argv[2], process.argv[3]));
}
