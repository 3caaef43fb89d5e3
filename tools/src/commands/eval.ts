import { SpeedqError } from '@speedq/format';
import { defineCommand } from '../cli/command.ts';
import { BENCHMARKS } from '../eval/benchmarks/index.ts';
import { ENGINES } from '../eval/engine.ts';
import { evaluateTable } from '../eval/job.ts';
import { PROMPT_STYLES } from '../eval/prompts.ts';
import { evaluateText } from '../eval/text-job.ts';
import { exists } from '../model-folder/float-weights.ts';

export const evaluate = defineCommand({
  args: { model: { description: 'folder of a float or packed model' } },
  options: {
    data: { type: 'string', hint: 'FILE.tsv', description: 'VLMEvalKit-style TSV' },
    dataset: {
      type: 'string',
      hint: 'NAME',
      choices: BENCHMARKS.map(({ name }) => name),
      description: 'score --data as this data set of VLMEvalKit; by default by the name of the file',
    },
    perplexity: {
      type: 'string',
      hint: 'FILE',
      description:
        'instead of --data: perplexity on a text, or on the answers of conversations (.jsonl, LLaVA layout)',
    },
    engine: {
      type: 'string',
      choices: ENGINES,
      default: 'cpu',
      description: 'cpu: float32 by onnxruntime; webgpu, wasm: the kernels of the web page',
    },
    limit: { type: 'integer', min: 1, description: 'ask only so many questions, drawn by the seed' },
    out: {
      type: 'string',
      hint: 'FILE',
      description: 'write every answer there, one JSON object a line; a run that was cut short goes on',
    },
    predictions: {
      type: 'string',
      hint: 'FILE.tsv',
      description: "write the answers in VLMEvalKit's layout, for its own scorer",
    },
    reference: {
      type: 'string',
      hint: 'MODEL',
      description: 'float model to compare with: KL divergence, perplexity, agreement',
    },
    blankPictures: { type: 'boolean', description: 'show a grey picture instead of each' },
    shufflePictures: {
      type: 'integer',
      hint: 'SEED',
      min: 0,
      description: "show another question's picture",
    },
    prompts: {
      type: 'string',
      choices: PROMPT_STYLES,
      description: 'how to ask; by default plain for data of speedq data, else as VLMEvalKit',
    },
    maxNewTokens: {
      type: 'integer',
      min: 1,
      description: 'longest answer in tokens (default: 128; 4096 for a data set of VLMEvalKit)',
    },
    batch: {
      type: 'integer',
      min: 1,
      default: 1,
      description: 'questions answered together, on the cpu engine; memory grows with them',
    },
    window: { type: 'integer', min: 2, default: 2048, description: 'tokens --perplexity cuts a text into' },
    seed: { type: 'integer', min: 0, default: 0, description: 'of --limit' },
    threads: { type: 'integer', min: 1, description: 'threads of the cpu engine (default: all cores)' },
    force: { type: 'boolean', description: 'replace --out if it exists' },
  },
  examples: [
    { does: 'Score a packed model', line: 'eval web/public/models/pico-2bit --data test.tsv' },
    {
      does: 'What quantization cost, beside the original',
      line: 'eval web/public/models/pico-2bit --data test.tsv --reference tools/models/pico',
    },
    {
      does: 'A data set of VLMEvalKit, with every answer kept',
      line: 'eval MODEL --data MMStar.tsv --out mmstar.jsonl',
    },
  ],
  details:
    'Answers are greedy. The data sets HallusionBench, AI2D_TEST, OCRBench, MMBench_DEV_EN_V11, MMBench_DEV_CN_V11, ' +
    'MMStar, MMMU_DEV_VAL, ScienceQA_VAL and SEEDBench_IMG are asked and scored as VLMEvalKit does without a judge. ' +
    'In other data multiple choice is scored by its letter, yes or no by that word, all else by the whole ' +
    'text without case, spacing and closing mark. Intervals are Wilson’s at 95 %.',
  async run({ args, options, ...terminal }) {
    if ((options.data === undefined) === (options.perplexity === undefined)) {
      throw new SpeedqError('invalid-argument', 'Pass either --data FILE.tsv or --perplexity FILE.');
    }
    if (options.blankPictures && options.shufflePictures !== undefined) {
      throw new SpeedqError(
        'invalid-argument',
        '--blank-pictures and --shuffle-pictures exclude each other; run eval twice.',
      );
    }
    if (options.batch > 1 && options.engine !== 'cpu') {
      throw new SpeedqError(
        'invalid-argument',
        `The ${options.engine} engine holds one conversation, as it does in browsers: --batch goes with --engine cpu.`,
      );
    }
    for (const file of [options.out, options.predictions]) {
      if (file !== undefined && !options.force && (await exists(file))) {
        throw new SpeedqError('output-exists', `${file} exists. Pass --force to replace it.`);
      }
    }
    if (options.data !== undefined) {
      return evaluateTable({ ...options, model: args.model, data: options.data }, terminal);
    }
    return evaluateText({ ...options, model: args.model, file: options.perplexity! }, terminal);
  },
});
