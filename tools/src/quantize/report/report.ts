import { formatBytes, formatCount, formatDuration } from '../../output.ts';
import type { StorageRow } from '../../packing/summary.ts';
import type { Recipe } from '../../recipes/schema.ts';
import type { QuantizeSummary } from '../job.ts';
import { durations, lossCurves, peakBytes } from './history.ts';
import type { HistoryRecord } from './history.ts';
import { barChart, escapeXml, lineChart } from './svg.ts';

export const REPORT_FILE = 'report.html';

export interface ReportContent {
  /** Of the float model. */
  readonly model: string;
  readonly method: string;
  readonly recipe: Recipe;
  readonly seed?: number;
  readonly storage: readonly StorageRow[];
  /** Absent where rounding looked at weights alone. */
  readonly summary?: QuantizeSummary;
  readonly history: readonly HistoryRecord[];
}

/** What a quantization did and cost, as one self-contained page. */
export function renderReport(content: ReportContent): string {
  const { model, method, recipe } = content;
  const title = `${model}, ${recipe.name} by ${method}`;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeXml(title)}</title>
<style>${STYLE}</style>
<main>
<h1>${escapeXml(title)}</h1>
${[overview(content), size(content), errors(content), curves(content), time(content)].join('\n')}
<details><summary>Recipe</summary><pre>${escapeXml(JSON.stringify(recipe, null, 2))}</pre></details>
</main>
</html>
`;
}

function overview({ model, storage, summary, history, seed }: ReportContent): string {
  const bytes = storage.reduce((sum, row) => sum + row.bytes, 0);
  const parameters = storage.reduce((sum, row) => sum + row.parameters, 0);
  const facts: [string, string][] = [
    ['Weights', `${formatBytes(bytes)}, ${((bytes * 8) / parameters).toFixed(3)} bits each on average`],
  ];
  const divergence = summary?.divergence;
  if (divergence) {
    facts.push([
      'KL to the float model',
      `${divergence.kl.toPrecision(3)} nats a token, same most probable token ${(100 * divergence.sameToken).toFixed(1)} % ` +
        `(${divergence.tokens} answer tokens of ${divergence.conversations} conversations kept out of calibration)`,
    ]);
  }
  if (summary?.teacher !== undefined) {
    facts.push([
      'Teacher of stage 3',
      `${summary.teacher}; figures here compare with ${model}, the float model`,
    ]);
  }
  if (summary) {
    facts.push(['Data', `${summary.conversations} conversations, ${summary.pictures} pictures`]);
  }
  if (history.length > 0) {
    facts.push(
      ['Time', formatDuration(durations(history).total)],
      ['Peak memory', formatBytes(peakBytes(history))],
    );
  }
  if (seed !== undefined) facts.push(['Seed', `${seed}`]);
  return table(['', ''], facts);
}

function size({ storage }: ReportContent): string {
  const rows = storage.map(({ part, scheme, tensors, parameters, bytes, bitsPerWeight }) => [
    part,
    scheme,
    formatCount(tensors),
    formatCount(parameters),
    formatCount(bytes),
    bitsPerWeight.toFixed(3),
  ]);
  const bars = storage.map(({ part, scheme, bytes }) => ({
    label: `${part} ${scheme}`,
    values: [bytes],
    text: formatBytes(bytes),
  }));
  const head = ['part', 'scheme', 'tensors', 'weights', 'bytes', 'bits a weight'];
  return `<h2>Size</h2>\n${barChart('Bytes by part and scheme', bars)}\n${table(head, rows)}`;
}

function errors({ summary }: ReportContent): string {
  if (!summary || summary.blocks.length === 0) return '';
  const bars = summary.blocks.map(({ block, nearest, trained }) => ({
    label: block,
    values: [nearest, trained],
    text: `${nearest.toPrecision(3)} → ${trained.toPrecision(3)}`,
  }));
  return `<h2>Error of each block</h2>
<p>Squared error of the block's output as a share of the float output's square, behind the quantized blocks before it:
<b class="key0">rounded to nearest</b>, <b class="key1">as quantized</b>.</p>
${barChart('Error of each block, before and after', bars)}`;
}

function curves({ history }: ReportContent): string {
  const charts = [...lossCurves(history)].map(([stage, curve]) => {
    const points = curve.map(({ step, loss }) => ({ x: step, y: loss }));
    return `<h3>${escapeXml(stage)}</h3>\n${lineChart(`Loss of ${stage} by step`, points)}`;
  });
  return charts.length === 0 ? '' : `<h2>Loss by step</h2>\n${charts.join('\n')}`;
}

function time({ history }: ReportContent): string {
  const rows = [...durations(history).parts].map(([name, seconds]) => [name, `${seconds.toFixed(1)} s`]);
  return rows.length === 0 ? '' : `<h2>Time</h2>\n${table(['step', 'time'], rows)}`;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escapeXml(cell)}</${tag}>`).join('');
  const top = head.some((cell) => cell !== '') ? `<thead><tr>${cells(head, 'th')}</tr></thead>` : '';
  return `<table>${top}<tbody>${rows.map((row) => `<tr>${cells(row, 'td')}</tr>`).join('')}</tbody></table>`;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #222; --faint: #ccc; --a: #8a8f98; --b: #2b6cb0; }
@media (prefers-color-scheme: dark) { :root { --ink: #ddd; --faint: #444; --b: #63b3ed; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 2rem; }
main { max-width: 720px; margin: auto; }
table { border-collapse: collapse; margin: .5rem 0; }
td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; fill: currentColor; }
.grid { stroke: var(--faint); }
.line { fill: none; stroke: var(--b); stroke-width: 1.5; }
.bar0, .key0 { fill: var(--a); color: var(--a); }
.bar1, .key1 { fill: var(--b); color: var(--b); }
pre { overflow-x: auto; }
`;
