import type { CommandEntry } from '../cli/command.ts';

/** Every command, in the order of the help. A new one is a file here that exports a Command, and an entry. */
const entries: readonly CommandEntry[] = [
  {
    name: 'inspect',
    summary: 'show architecture, parameters and storage of a model, and what is wrong with it',
    load: async () => (await import('./inspect.ts')).inspect,
  },
  {
    name: 'plan',
    summary: 'show what quantizing would yield: bytes per tensor, memory, time; writes nothing',
    load: async () => (await import('./plan.ts')).plan,
  },
  {
    name: 'quantize',
    summary: 'compress a float model, with staged training or by rounding to nearest',
    load: async () => (await import('./quantize.ts')).quantize,
  },
  {
    name: 'export',
    summary: 'convert a model without training: float to packed, packed to float or ONNX',
    load: async () => (await import('./export.ts')).exportModel,
  },
  {
    name: 'verify',
    summary: 'check every byte of a packed model',
    load: async () => (await import('./verify.ts')).verify,
  },
  {
    name: 'generate',
    summary: 'ask a model something, about pictures or not',
    load: async () => (await import('./generate.ts')).generate,
  },
  {
    name: 'eval',
    summary: 'score a model on a VLMEvalKit-style TSV',
    load: async () => (await import('./eval.ts')).evaluate,
  },
  {
    name: 'data',
    summary: 'draw a data set of pictures and questions',
    load: async () => (await import('./data.ts')).data,
  },
  {
    name: 'train',
    summary: 'train the embedded model pico from scratch',
    load: async () => (await import('./train.ts')).train,
  },
  {
    name: 'random-model',
    summary: 'write a model folder of InternVL3 shapes with random weights',
    load: async () => (await import('./random-model.ts')).randomModel,
  },
  {
    name: 'bench',
    summary: 'measure training speed beside what the matrix products alone would take',
    load: async () => (await import('./bench.ts')).bench,
  },
  {
    name: 'serve',
    summary: 'serve the chat app with a packed model on localhost',
    load: async () => (await import('./serve.ts')).serve,
  },
  {
    name: 'doctor',
    summary: 'show what this machine offers, and what will be slow on it and why',
    load: async () => (await import('./doctor.ts')).doctor,
  },
  {
    name: 'completion',
    summary: 'print a script that lets a shell complete commands, options and values',
    load: async () => (await import('./completion.ts')).completionOf(entries),
  },
];

export const commandRegistry: Readonly<Record<string, CommandEntry>> = Object.fromEntries(
  entries.map((entry) => [entry.name, entry]),
);
