/**
 * The ONNX export in @huggingface/transformers, which loads it as LLaVA, in Node and in Chromium (where it runs on
 * onnxruntime-web): the greedy tokens are those of our runtime.
 *
 *     npm run check:transformers-js [-- --library FOLDER]
 *
 * FOLDER holds node_modules with the library; without it the library (474 MB with what it needs) is installed into
 * a temporary folder.
 */
import { createReadStream } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { drawPictureQuestions } from '../../tools/src/export/testing/picture-questions.ts';
import type { PictureQuestion } from '../../tools/src/export/testing/picture-questions.ts';
import { openModel } from '../../tools/src/eval/open-model.ts';
import { openBrowser } from '../e2e/support/browser.ts';
import type { answer } from './transformers-js-driver.mjs';
import { Report, installPackages, repositoryRoot, runNode, speedq, withTemporaryFolder } from './support.ts';

const LIBRARY = '@huggingface/transformers@4.3.1';
const QUESTIONS = 20;
const MAX_NEW_TOKENS = 12;
const SEED = 31;
/** Closer than this, rounding may decide which logit is the largest. */
const TIE = 1e-3;
/** 8-bit activations may change an answer, and are there for speed. */
const FAST_AGREES = 0.8;
const PACKED = join(repositoryRoot, 'web/public/models/pico-2bit');

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};

const { values: options } = parseArgs({ options: { library: { type: 'string' } } });

interface Run {
  readonly model: string;
  readonly options: { dtype: string; device: string; maxNewTokens: number; imageSize: number };
}
interface Answers {
  readonly model: string;
  readonly answers: readonly (readonly number[])[];
}

await withTemporaryFolder(async (folder) => {
  const library = options.library ?? installPackages(join(folder, 'library'), LIBRARY);
  const modules = join(library, 'node_modules');
  const models = join(folder, 'models');
  await speedq('export', PACKED, '--to', 'onnx', '--out', join(models, 'exact'));
  await speedq('export', PACKED, '--to', 'onnx', '--fast', '--out', join(models, 'fast'));

  const reference = await openModel(PACKED, 'cpu', { threads: 1, maxContext: 256 });
  const drawn = { seed: SEED, count: QUESTIONS, maxNewTokens: MAX_NEW_TOKENS };
  const questions = await drawPictureQuestions(reference, drawn);
  const { stopTokens } = reference.codec;
  reference.engine.destroy();
  const imageSize = Math.sqrt(questions[0].pixels.length / questions[0].tiles / 3);
  const runs = (device: string): Run[] =>
    [
      { model: 'exact', dtype: 'q2' },
      { model: 'fast', dtype: 'q4' },
    ].map(({ model, dtype }) => ({
      model,
      options: { dtype, device, maxNewTokens: MAX_NEW_TOKENS, imageSize },
    }));
  const asked = questions.map(({ ids, tiles, pixels }) => ({
    ids: Array.from(ids),
    tiles,
    pixels: Array.from(pixels),
  }));

  const report = new Report();
  const compare = (where: string, { model, answers }: Answers): void => {
    const agree = count(questions, answers, stopTokens);
    const decided = questions.filter(({ margin }) => margin >= TIE).length;
    const needed = model === 'exact' ? decided : FAST_AGREES * decided;
    report.check(`${model} in ${where}`, agree >= needed, `${agree} of ${questions.length} answers equal`);
  };
  const job = join(folder, 'job.json');
  await writeFile(job, JSON.stringify({ models, questions: asked, runs: runs('cpu') }));
  const script = fileURLToPath(new URL('transformers-js-node.mjs', import.meta.url));
  const inNode = runNode<Answers>(script, join(modules, '@huggingface/transformers'), job);
  for (const answers of inNode) compare('Node', answers);
  report.check('models run in Node', inNode.length === 2, `${inNode.length}`);

  const page = { folder, models, modules };
  for (const run of runs('wasm')) compare('Chromium, onnxruntime-web', await answerInPage(page, run));
  report.finish();
});

/** Answers that equal ours; the library keeps the id that ends an answer. */
function count(
  questions: readonly PictureQuestion[],
  answers: readonly (readonly number[])[],
  stopTokens: ReadonlySet<number>,
): number {
  const same = (a: readonly number[], b: readonly number[]) => JSON.stringify(a) === JSON.stringify(b);
  return questions.filter(({ expected }, i) => {
    const ids = answers[i] ?? [];
    return same(stopTokens.has(ids.at(-1)!) ? ids.slice(0, -1) : ids, expected);
  }).length;
}

interface Served {
  /** Of job.json. */
  readonly folder: string;
  readonly models: string;
  readonly modules: string;
}

/** The same driver in a page, with the library's build for browsers. */
async function answerInPage({ folder, models, modules }: Served, run: Run): Promise<Answers> {
  const roots: readonly (readonly [string, string])[] = [
    ['/job/', folder],
    ['/models/', models],
    ['/library/', join(modules, '@huggingface/transformers/dist')],
    ['/ort/', join(modules, 'onnxruntime-web/dist')],
    ['/driver/', fileURLToPath(new URL('.', import.meta.url))],
  ];
  const server = serve(roots);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const browser = await openBrowser();
  try {
    const page = await browser.context.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const answers = await page.evaluate(async (run) => {
      // Served above; this function runs in the page.
      const [libraryURL, driverURL] = ['/library/transformers.js', '/driver/transformers-js-driver.mjs'];
      const library = (await import(libraryURL)) as LibraryInPage;
      const driver = (await import(driverURL)) as DriverInPage;
      library.env.localModelPath = '/models/';
      library.env.allowLocalModels = true;
      library.env.allowRemoteModels = false;
      library.env.backends.onnx.wasm.wasmPaths = '/ort/';
      library.env.backends.onnx.wasm.numThreads = 1;
      const { questions } = (await (await fetch('/job/job.json')).json()) as { questions: never };
      return driver.answer(library as never, run.model, run.options, questions);
    }, run);
    if (browser.foreignHosts.length > 0) throw new Error(`asked ${browser.foreignHosts.join(', ')}`);
    return { model: run.model, answers };
  } finally {
    await browser.close();
    await new Promise((resolve) => server.close(resolve));
  }
}

interface DriverInPage {
  readonly answer: typeof answer;
}

interface LibraryInPage {
  readonly env: {
    localModelPath: string;
    allowLocalModels: boolean;
    allowRemoteModels: boolean;
    readonly backends: { readonly onnx: { readonly wasm: { wasmPaths: string; numThreads: number } } };
  };
}

function serve(roots: readonly (readonly [string, string])[]) {
  return createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
    const mount = roots.find(([prefix]) => path.startsWith(prefix));
    if (mount === undefined) {
      response.writeHead(path === '/' ? 200 : 404, { 'Content-Type': 'text/html' }).end();
      return;
    }
    const file = join(mount[1], path.slice(mount[0].length));
    stat(file).then(
      ({ size }) => {
        const type = TYPES[extname(file)] ?? 'application/octet-stream';
        response.writeHead(200, { 'Content-Type': type, 'Content-Length': size });
        if (request.method === 'HEAD') response.end();
        else createReadStream(file).pipe(response);
      },
      () => response.writeHead(404).end(),
    );
  });
}
