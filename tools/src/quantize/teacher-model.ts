import { SpeedqError } from '@speedq/format';
import type { InternVLConfig } from '@speedq/model';
import type { Parameters } from '@speedq/onnx';
import type { Tokenizer } from '@speedq/processor';
import type { FloatModelFolder } from '../model-folder.ts';
import { readTokenizer, resolveMetadata } from '../packing/metadata.ts';
import type { PictureSet } from './data/picture-set.ts';
import type { Sample } from './data/samples.ts';
import { samplesFor } from './data/samples-for.ts';
import { readParameters } from './parameter-store.ts';

/** A model that teaches stage 3: its size, its encoder and its pictures are its own, its vocabulary the student's. */
export interface TeacherModel {
  readonly config: InternVLConfig;
  readonly parameters: Parameters;
  /** The student's conversations, under the same indexes, with the visual tokens that this model has. */
  readonly samples: readonly Sample[];
  readonly pictures: Pick<PictureSet, 'pictures' | 'pixels'>;
}

/** Reads a teacher of another size. Throws `invalid-argument` where a conversation is too long for it. */
export async function openTeacherModel(
  folder: FloatModelFolder,
  data: Pick<TeacherModel, 'samples' | 'pictures'>,
  { work, seed }: { readonly work: string; readonly seed: number },
): Promise<TeacherModel> {
  const { config } = folder;
  const own = await samplesFor(data, config, await resolveMetadata(folder), seed);
  const longest = own.samples.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const { maxPositionEmbeddings } = config.language;
  if (longest > maxPositionEmbeddings) {
    throw new SpeedqError(
      'invalid-argument',
      `A conversation has ${longest} tokens for the teacher ${folder.path}, which takes ${maxPositionEmbeddings}. ` +
        'Leave out the longest conversations, lower max_dynamic_patch in the meta file, or take another teacher.',
    );
  }
  return { config, parameters: await readParameters(folder.tensors, work), ...own };
}

/** Throws `invalid-argument` naming both models and what differs where a token does not mean the same to them. */
export async function requireSameVocabulary(
  student: FloatModelFolder,
  teacher: FloatModelFolder,
): Promise<void> {
  const differs = await firstDifference(student, teacher);
  if (differs === undefined) return;
  throw new SpeedqError(
    'invalid-argument',
    `${teacher.path} cannot teach ${student.path}: ${differs}. A teacher gives probabilities token by token, so ` +
      'its vocabulary must be the same; take a larger model of the same family.',
  );
}

async function firstDifference(
  student: FloatModelFolder,
  teacher: FloatModelFolder,
): Promise<string | undefined> {
  const sizes = [teacher, student].map(({ config }) => config.language.vocabSize);
  if (sizes[0] !== sizes[1]) return `it has ${sizes[0]} tokens, the student ${sizes[1]}`;
  const visual = [teacher, student].map(({ config }) => config.imageTokenId);
  if (visual[0] !== visual[1]) return `its visual token is ${visual[0]}, the student's ${visual[1]}`;
  const tokenizers = await Promise.all([teacher, student].map(readTokenizer));
  // Without the student's, training says what it needs it for.
  if (tokenizers[0] === undefined) return 'it has no tokenizer to compare';
  if (tokenizers[1] === undefined) return undefined;
  for (let id = 0; id < sizes[0]; id++) {
    const [own, wanted] = (tokenizers as readonly Tokenizer[]).map((one) => describeToken(one, id));
    if (own !== wanted) return `token ${id} is ${own} to it, ${wanted} to the student`;
  }
  return undefined;
}

/** What an id stands for; special tokens and text of the same characters differ. */
function describeToken(tokenizer: Tokenizer, id: number): string {
  const bytes = tokenizer.bytesOf(id);
  if (bytes.length === 0) return 'nothing';
  const text = JSON.stringify(Buffer.from(bytes).toString('latin1'));
  return tokenizer.isSpecial(id) ? `the special token ${text}` : text;
}
