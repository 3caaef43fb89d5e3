import { emojiKinds } from './emoji.ts';
import { createGenerator, defaultMix } from './generator.ts';
import { placeNames } from './labels.ts';

const pictures = 12_000;
/** Times each word occurs at least, so that those of rare facts are words of the vocabulary too. */
const leastFrequency = 40;
/** Times each name occurs at least: whatever else is cut, each name is one token. */
const nameFrequency = 4000;

/** Strings to be read from pictures stay out: they are spelled, one token a character. */
function withoutReading(text: string): string {
  return text.replace(/"[A-Z\d]+"/g, '""').replace(/\bbar [A-Z]\b/g, 'bar');
}

/**
 * 'cats' shares a token with 'cat'. That fails where the ending would be merged first (' hors' + 'es'): such
 * plurals are words of their own.
 */
function isOwnWord(name: string, plural: string): boolean {
  return !plural.startsWith(name) || /[aeis]$/.test(name);
}

/** What pico's vocabulary is trained on: the words of the chat template, questions, answers and names. */
export function* tokenizerCorpus(): Generator<string> {
  const generator = createGenerator({
    seed: 1,
    questionsOnly: true,
    mix: { ...defaultMix, scenes: { ...defaultMix.scenes, text: 0.4 }, questionsPerPicture: 4 },
  });
  const words = new Set<string>(['system', ' image', ' I', 'It', ...placeNames]);
  const pluralForms = new Set(emojiKinds.map(({ plural }) => ` ${plural}`));
  for (let index = 0; index < pictures; index++) {
    for (const { question, answer, type } of generator.sample(index).questions) {
      const texts = [`user\n${withoutReading(question)}`, 'assistant\n'];
      if (type !== 'read') texts.push(withoutReading(answer));
      yield* texts;
      for (const word of texts.join('\n').match(/ ?[a-z]+| ?\p{Lu}\p{Ll}+|\p{Script=Han}+/gu) ?? []) {
        if (!pluralForms.has(word)) words.add(word);
      }
    }
  }
  for (const word of words) for (let time = 0; time < leastFrequency; time++) yield word;
  const names = emojiKinds.flatMap(({ name, plural }) => (isOwnWord(name, plural) ? [name, plural] : [name]));
  const line = names.map((name) => ` ${name}`).join('');
  for (let time = 0; time < nameFrequency; time++) yield line;
}
