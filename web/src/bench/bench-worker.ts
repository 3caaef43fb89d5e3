import { INTERNVL3_1B, benchDevice } from '@speedq/kernels/bench';
import type { BenchOptions, LinearCase } from '@speedq/kernels/bench';
import { parseConfig } from '@speedq/model';
import { timeMatMulNBits } from '@speedq/onnx';
import type { OrtModule } from '@speedq/onnx';
import {
  describeAdapter,
  openModelFiles,
  packedWeights,
  requestAdapter,
  requestDevice,
} from '@speedq/runtime';
import type { BenchMessage, BenchRequest } from './messages.ts';

/** Of onnxruntime-web's dist folder; it fetches its WebAssembly from beside itself. */
const ONNXRUNTIME = 'onnxruntime/ort.webgpu.min.mjs';

const post = (message: BenchMessage): void => postMessage(message);

addEventListener('message', ({ data }: MessageEvent<BenchRequest>) => {
  run(data).catch((error: unknown) => {
    post({ type: 'failed', message: error instanceof Error ? error.message : String(error) });
  });
});

async function run(request: BenchRequest): Promise<void> {
  const { subject, bits, model, base } = request;
  const adapter = await requestAdapter();
  const { name, isSoftware } = describeAdapter(adapter);
  const device = await requestDevice(adapter);
  const report = await benchDevice(device, {
    ...{ subject, bits, isSoftware },
    ...(await modelOptions(request)),
    tuning: isSoftware ? undefined : { languageFeatures: navigator.gpu.wgslLanguageFeatures },
    compare: request.compare ? await loadOnnxruntime(base) : undefined,
    onStep: (what) => post({ type: 'step', what }),
    onKernel: (kernel) => post({ type: 'kernel', kernel }),
  });
  device.destroy();
  const { userAgent } = navigator;
  const date = new Date().toISOString();
  post({ type: 'done', result: { measuredModel: model, adapter: name, userAgent, date, ...report } });
}

async function modelOptions({
  model,
  base,
}: BenchRequest): Promise<Pick<BenchOptions, 'config' | 'layers' | 'weights'>> {
  if (model !== 'pico') {
    const count = model === '1b' ? Infinity : Number(model.slice(-1));
    const { vision, language } = INTERNVL3_1B;
    const layers = {
      vision: Math.min(count, vision.numLayers),
      language: Math.min(count, language.numLayers),
    };
    return { config: INTERNVL3_1B, layers };
  }
  const files = await openModelFiles(new URL('models/pico-2bit', base).href);
  const config = parseConfig(
    JSON.parse(new TextDecoder().decode(await files.read('config.json'))) as unknown,
  );
  const layers = { vision: config.vision.numLayers, language: config.language.numLayers };
  return { config, layers, weights: packedWeights(files) };
}

async function loadOnnxruntime(base: string): Promise<BenchOptions['compare']> {
  const address = new URL(ONNXRUNTIME, base).href;
  let ort: OrtModule & { readonly env: { readonly wasm: { numThreads?: number } } };
  try {
    ort = (await import(/* @vite-ignore */ address)) as typeof ort;
  } catch {
    throw new Error(
      `${address} is not there. Copy the dist folder of the npm package onnxruntime-web to onnxruntime/ beside ` +
        'this page, or measure without it.',
    );
  }
  // Its threads need headers that this page does without; WebGPU does not use them.
  ort.env.wasm.numThreads = 1;
  return ({ scheme, ...shape }: LinearCase) => {
    if (scheme.kind === 'float' || scheme.bits === 3) return Promise.resolve(undefined);
    const product = { ...shape, bits: scheme.bits, blockSize: scheme.groupSize };
    return timeMatMulNBits(ort, product, { executionProvider: 'webgpu' });
  };
}
