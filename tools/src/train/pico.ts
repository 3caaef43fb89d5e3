import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SpeedqError } from '@speedq/format';
import { parseConfig, type InternVLConfig } from '@speedq/model';
import { CONTROL_TOKENS, createTokenizer, type Tokenizer } from '@speedq/processor';
import { patchClassCount, patchColourCount } from '../data/index.ts';
import type { AuxiliaryHeads } from './parameter-layout.ts';
import { picoConfig } from './pico-config.ts';

export const AUXILIARY_HEADS: AuxiliaryHeads = { kinds: patchClassCount, colours: patchColourCount };

/** Rows of the embedding beyond the tokenizer's are never used; they keep its height a multiple of this. */
const VOCABULARY_MULTIPLE = 128;

export interface Pico {
  readonly config: InternVLConfig;
  /** What config.json of the checkpoint says. */
  readonly configJson: ReturnType<typeof picoConfig>;
  readonly tokenizer: Tokenizer;
}

/** Pico's architecture for the tokenizer in `folder`. */
export async function loadPico(folder: string): Promise<Pico> {
  const tokenizer = createTokenizer(JSON.parse(await readFile(join(folder, 'tokenizer.json'), 'utf8')));
  const id = (token: string) => {
    const found = tokenizer.tokenToId(token);
    if (found === undefined) {
      throw new SpeedqError('invalid-tokenizer', `${folder}/tokenizer.json lacks the token ${token}.`);
    }
    return found;
  };
  const configJson = picoConfig({
    vocabulary: Math.ceil(tokenizer.vocabSize / VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE,
    imageContext: id(CONTROL_TOKENS.imageContext),
    messageEnd: id(CONTROL_TOKENS.messageEnd),
    endOfText: id(CONTROL_TOKENS.endOfText),
  });
  return { config: parseConfig(configJson), configJson, tokenizer };
}
