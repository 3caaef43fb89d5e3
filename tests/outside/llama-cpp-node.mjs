/** node llama-cpp-node.mjs LIBRARY JOB.json: llama.cpp by way of llama.node, in a process of its own (gguf.ts). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const CONTEXT = 512;
const MOST_PROBABLE = 5;

const [, , libraryFolder, jobFile] = process.argv;
const { loadModel } = await import(pathToFileURL(join(libraryFolder, 'lib/index.js')).href);
const { model, mmproj, questions, maxNewTokens } = JSON.parse(await readFile(jobFile, 'utf8'));

/** Each pass in a context of its own: the library keeps probabilities and caches of earlier calls. */
async function pass(use) {
  const context = await loadModel({ model, n_ctx: CONTEXT, n_gpu_layers: 0, n_threads: 1, ctx_shift: false });
  if (!context.initMultimodal({ path: mmproj, use_gpu: false })) throw new Error(`${mmproj} was not read`);
  const results = [];
  for (const { text: prompt, picture } of questions) {
    const media = picture === undefined ? {} : { media_paths: [picture] };
    const { tokens } = await context.tokenize(prompt, media);
    const result = await context.completion({ ...media, prompt, ...use });
    results.push({ tokens: Array.from(tokens), result });
    // It resolves before it is ready for the next.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await context.release();
  return results;
}

const greedy = await pass({ top_k: 1, n_predict: maxNewTokens });
// Greedy choices have the probability 1; these are drawn by a chain of samplers that changes nothing.
const neutral = { temperature: 1, top_k: 40, top_p: 1, min_p: 0, typ_p: 1, xtc_probability: 0 };
const drawn = await pass({ ...neutral, n_predict: 1, n_probs: MOST_PROBABLE });
greedy.forEach(({ tokens, result }, i) => {
  const { probs } = drawn[i].result.completion_probabilities.at(-1);
  const first = probs
    .map(({ tok_str: text, prob: probability }) => ({ text, probability }))
    // Parts of a character, which have no text.
    .filter(({ text }) => !text.startsWith('byte: '));
  console.log(JSON.stringify({ tokens, answer: result.text, first }));
});
process.exit();
