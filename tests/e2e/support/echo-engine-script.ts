import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

/** The script of echo-engine.ts, to be served in the place of the engine's. */
export async function echoEngineScript(): Promise<string> {
  const build = await rolldown({ input: fileURLToPath(new URL('./echo-engine.ts', import.meta.url)) });
  const { output } = await build.generate({ format: 'esm' });
  await build.close();
  return output[0].code;
}
