/** node llama-cpp-node.mjs LIBRARY JOB.json: llama.cpp by way of node-llama-cpp, in a process of its own (gguf.ts). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [, , libraryFolder, jobFile] = process.argv;
const { getLlama } = await import(pathToFileURL(join(libraryFolder, 'dist/index.js')).href);
const { model: modelPath, questions, maxNewTokens } = JSON.parse(await readFile(jobFile, 'utf8'));
const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, logLevel: 'error' });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 512, threads: 1 });
const sequence = context.getSequence();
for (const { text, ids } of questions) {
  await sequence.clearHistory();
  const answer = [];
  for await (const token of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    answer.push(token);
    if (model.isEogToken(token) || answer.length === maxNewTokens) break;
  }
  console.log(JSON.stringify({ tokens: Array.from(model.tokenize(text, true)), answer }));
}
process.exit();
