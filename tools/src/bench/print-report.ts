import type { BenchReport, DeviceRates, KernelResult } from '@speedq/kernels/bench';
import type { Output } from '../output.ts';

export function printRates({ bytesPerSecond, operationsPerSecond }: DeviceRates, output: Output): void {
  output.print(
    `measured on it: ${(bytesPerSecond / 1e9).toFixed(2)} GB/s copied, ` +
      `${(operationsPerSecond / 1e9).toFixed(2)} GFLOP/s multiplied and added`,
  );
}

/** A row a kernel; the last column says how many times as long the other runtime takes. */
export function printKernels(kernels: readonly KernelResult[], other: string, output: Output): void {
  output.table(
    [
      ['phase', 'kernel', 'of what', 'ms', 'MB', 'bandwidth', 'FLOP rate', `${other} ms`, 'ratio'],
      ...kernels.map((kernel) => {
        const { seconds, otherSeconds } = kernel;
        return [
          kernel.phase,
          kernel.program,
          `${kernel.what}${kernel.perLayer ? ', a layer' : ''}`,
          milliseconds(seconds),
          (kernel.bytes / 1e6).toFixed(2),
          percent(kernel.bandwidthShare),
          percent(kernel.rateShare),
          otherSeconds === undefined ? '' : milliseconds(otherSeconds),
          otherSeconds === undefined ? '' : `${(otherSeconds / seconds).toFixed(2)}×`,
        ];
      }),
    ],
    [3, 4, 5, 6, 7, 8],
  );
}

/** What the tuning chose other than the plain ones. */
export function printVariants(variants: BenchReport['variants'], output: Output): void {
  const chosen = Object.entries(variants).filter(([, name]) => name !== 'plain');
  if (chosen.length > 0) output.print();
  for (const [key, name] of chosen) output.print(`${key}: ${name}`);
}

export function printSummary({ model, decode, prefill }: BenchReport, other: string, output: Output): void {
  const against = (ratio: number | undefined): string =>
    ratio === undefined ? '' : `; ${ratio.toFixed(2)}× as fast as the matrix products alone in ${other}`;
  if (model === undefined) return;
  if (decode !== undefined) {
    output.print(
      `decoding: ${decode.tokensPerSecond.toFixed(2)} tokens/s, ${(decode.bytesPerToken / 1e6).toFixed(1)} MB a token, ` +
        `${percent(decode.bandwidthShare)} of the bandwidth${against(decode.ratio)}`,
    );
    output.print(`a token: ${decode.dispatchesPerToken} dispatches, ${decode.submitsPerToken} submissions`);
  }
  if (prefill !== undefined) {
    output.print(
      `prefill: ${prefill.tokensPerSecond.toFixed(1)} tokens/s over ${model.promptTokens} tokens; picture ` +
        `${prefill.pictureSeconds.toFixed(2)} s; first token ${prefill.firstTokenSeconds.toFixed(2)} s after the ` +
        `pixels, ${percent(prefill.rateShare)} of the FLOP rate${against(prefill.ratio)}`,
    );
  }
}

function milliseconds(seconds: number): string {
  return (1000 * seconds).toPrecision(3);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`;
}
