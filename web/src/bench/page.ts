import type { KernelResult } from '@speedq/kernels/bench';
import type { BenchMessage, BenchRequest, BenchResult } from './messages.ts';
import workerAddress from './bench-worker.ts?worker&url';

const element = (id: string): HTMLElement => document.getElementById(id)!;
const form = element('options') as HTMLFormElement;
const runButton = element('run') as HTMLButtonElement;
const exportButton = element('export') as HTMLButtonElement;
const table = element('kernels') as HTMLTableElement;

let result: BenchResult | undefined;

form.addEventListener('submit', (event) => {
  event.preventDefault();
  const data = new FormData(form);
  measure({
    model: data.get('model') as BenchRequest['model'],
    subject: data.get('subject') as BenchRequest['subject'],
    bits: data.get('bits') === '4' ? 4 : 2,
    base: new URL('./', document.baseURI).href,
    compare: data.get('compare') === 'on',
  });
});

exportButton.addEventListener('click', () => {
  const blob = new Blob([JSON.stringify(result, null, 2)], { type: 'application/json' });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = 'speedq-bench.json';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href));
});

function measure(request: BenchRequest): void {
  const worker = new Worker(workerAddress, { type: 'module', name: 'speedq benchmark' });
  const finish = (text: string): void => {
    worker.terminate();
    say(text);
    runButton.disabled = false;
  };
  result = undefined;
  runButton.disabled = true;
  exportButton.disabled = true;
  table.hidden = true;
  table.tBodies[0].replaceChildren();
  element('summary').replaceChildren();
  worker.addEventListener('message', ({ data }: MessageEvent<BenchMessage>) => {
    switch (data.type) {
      case 'step':
        say(`Measuring: ${data.what}…`);
        break;
      case 'kernel':
        addKernel(data.kernel);
        break;
      case 'done':
        result = data.result;
        exportButton.disabled = false;
        summarize(data.result);
        finish('Done.');
        break;
      case 'failed':
        finish(`It failed: ${data.message}`);
        break;
    }
  });
  worker.addEventListener('error', ({ message }) => finish(`It failed: ${message || 'the worker ended'}.`));
  worker.postMessage(request);
}

function say(text: string): void {
  element('status').textContent = text;
}

function addKernel(kernel: KernelResult): void {
  const { phase, program, what, perLayer, seconds, otherSeconds } = kernel;
  const cells = [
    phase,
    program,
    perLayer ? `${what}, a layer` : what,
    (1000 * seconds).toPrecision(3),
    (kernel.bytes / 1e6).toFixed(2),
    percent(kernel.bandwidthShare),
    percent(kernel.rateShare),
    otherSeconds === undefined ? '' : (1000 * otherSeconds).toPrecision(3),
    otherSeconds === undefined ? '' : `${(otherSeconds / seconds).toFixed(2)}×`,
  ];
  const row = table.tBodies[0].insertRow();
  for (const text of cells) row.insertCell().textContent = text;
  table.hidden = false;
}

function summarize({ adapter, isSoftware, rates, layers, builtLayers, decode, prefill }: BenchResult): void {
  add(`${adapter}${isSoftware ? ', a software adapter: times mean nothing, ratios little' : ''}`);
  add(
    `It copies ${(rates.bytesPerSecond / 1e9).toFixed(1)} GB/s and multiplies and adds ` +
      `${(rates.operationsPerSecond / 1e9).toFixed(1)} GFLOP/s.`,
  );
  add(`${builtLayers.language} of ${layers.language} layers of the language model.`);
  const against = (ratio: number | undefined): string =>
    ratio === undefined ? '' : `; ${ratio.toFixed(2)}× as fast as onnxruntime's matrix products alone`;
  if (decode !== undefined) {
    add(
      `${decode.tokensPerSecond.toFixed(1)} tokens/s, ${percent(decode.bandwidthShare)} of the bandwidth` +
        `${against(decode.ratio)}; ${decode.dispatchesPerToken} dispatches a token.`,
    );
  }
  if (prefill !== undefined) {
    add(
      `First token ${prefill.firstTokenSeconds.toFixed(2)} s after the picture, prefill ` +
        `${prefill.tokensPerSecond.toFixed(0)} tokens/s, ${percent(prefill.rateShare)} of the FLOP rate` +
        `${against(prefill.ratio)}.`,
    );
  }
}

function add(text: string): void {
  const item = document.createElement('li');
  item.textContent = text;
  element('summary').append(item);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
