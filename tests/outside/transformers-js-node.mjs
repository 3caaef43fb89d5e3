/** node transformers-js-node.mjs LIBRARY JOB.json: the driver in a process of its own (transformers-js.ts). */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { answer } from './transformers-js-driver.mjs';

const [, , libraryFolder, jobFile] = process.argv;
const library = await import(pathToFileURL(join(libraryFolder, 'dist/transformers.node.mjs')).href);
const { models, questions, runs } = JSON.parse(await readFile(jobFile, 'utf8'));
library.env.localModelPath = models;
library.env.allowRemoteModels = false;
for (const { model, options } of runs) {
  console.log(JSON.stringify({ model, answers: await answer(library, model, options, questions) }));
}
