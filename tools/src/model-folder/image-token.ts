import { CONTROL_TOKENS } from '@speedq/processor';
import { join } from 'node:path';
import { readOptionalJsonFile } from '../json-file.ts';

/** tokenizer.json of InternVL3 has 11 MB. */
const MAX_TOKENIZER_BYTES = 64 << 20;

/** Id of `<IMG_CONTEXT>` in a folder's tokenizer files, where its config.json does not say it. */
export async function findImageTokenId(folder: string): Promise<number | undefined> {
  const options = { code: 'invalid-tokenizer', maxBytes: MAX_TOKENIZER_BYTES } as const;
  const added = await readOptionalJsonFile(join(folder, 'added_tokens.json'), options);
  const id = (added as Record<string, unknown> | null | undefined)?.[CONTROL_TOKENS.imageContext];
  if (typeof id === 'number') return id;
  const tokenizer = await readOptionalJsonFile(join(folder, 'tokenizer.json'), options);
  const tokens = (tokenizer as { added_tokens?: unknown } | null | undefined)?.added_tokens;
  if (!Array.isArray(tokens)) return undefined;
  const entry = (tokens as { id?: unknown; content?: unknown }[]).find(
    (token) => token?.content === CONTROL_TOKENS.imageContext,
  );
  return typeof entry?.id === 'number' ? entry.id : undefined;
}
