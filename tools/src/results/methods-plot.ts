import { escapeXml } from '../quantize/report/svg.ts';
import type { CellResult } from './cell-result.ts';
import { ALL_METHODS } from './cells.ts';
import { groupRuns, hitShares, kl, mean } from './methods-statistics.ts';

const WIDTH = 720;
const PANEL = 260;
const MARGIN = { left: 64, right: 120, top: 24, bottom: 34 };
/** Of Okabe and Ito: told apart by colour-blind eyes, on light and on dark ground. */
const COLOURS = [
  '#0072b2',
  '#999999',
  '#e69f00',
  '#56b4e9',
  '#f0e442',
  '#cc79a7',
  '#009e73',
  '#d55e00',
  '#7f3f98',
];

interface Mark {
  readonly method: string;
  readonly rung: string;
  readonly bytes: number;
  readonly kl: number;
  readonly accuracy: number;
}

/** KL (logarithmic) and accuracy against the folder's bytes, a line a method: an SVG file of its own. */
export function renderPlot(results: readonly CellResult[]): string {
  const schedule = results.some((one) => one.schedule === 'short') ? 'short' : 'recipe';
  const groups = groupRuns(results).filter((one) => one.change === undefined && one.schedule === schedule);
  const marks = groups.map((group): Mark => {
    const { method, rung, runs } = group;
    return {
      ...{ method, rung, bytes: runs[0].fileBytes },
      kl: mean(runs.map(kl)),
      accuracy: 100 * mean(hitShares(group)),
    };
  });
  const float = 100 * mean(Array.from(results[0].questions.floatHits, Number));
  const methods = ALL_METHODS.filter((method) => marks.some((mark) => mark.method === method));
  const legend = methods.map((method, i) => {
    const y = MARGIN.top + 16 * i + 8;
    return (
      `<circle cx="${WIDTH - MARGIN.right + 16}" cy="${y}" r="4" fill="${colourOf(method)}"/>` +
      `<text x="${WIDTH - MARGIN.right + 26}" y="${y + 4}">${escapeXml(method)}</text>`
    );
  });
  const height = 2 * PANEL;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" ` +
    `font-family="sans-serif" font-size="12" fill="#777">` +
    `<title>KL to the float model and accuracy against bytes</title>` +
    panel(marks, 0, {
      title: 'KL a token, nats',
      value: (mark) => Math.log10(mark.kl),
      show: (v) => 10 ** v,
    }) +
    panel(marks, PANEL, {
      title: 'accuracy, %',
      value: (mark) => mark.accuracy,
      show: (v) => v,
      level: float,
    }) +
    `${legend.join('')}</svg>\n`
  );
}

interface Axis {
  readonly title: string;
  readonly value: (mark: Mark) => number;
  /** What a tick reads. */
  readonly show: (value: number) => number;
  /** Of the float model. */
  readonly level?: number;
}

function panel(marks: readonly Mark[], top: number, { title, value, show, level }: Axis): string {
  const values = [...marks.map(value), ...(level === undefined ? [] : [level])];
  const [left, right] = span(marks.map(({ bytes }) => bytes));
  const [low, high] = span(values);
  const px = (x: number) =>
    (MARGIN.left + ((x - left) / (right - left)) * (WIDTH - MARGIN.left - MARGIN.right)).toFixed(1);
  const py = (y: number) =>
    (top + PANEL - MARGIN.bottom - ((y - low) / (high - low)) * (PANEL - MARGIN.top - MARGIN.bottom)).toFixed(
      1,
    );
  const [start, end] = [MARGIN.left, WIDTH - MARGIN.right];
  const rule = (y: number, dash = '') =>
    `<line x1="${start}" x2="${end}" y1="${py(y)}" y2="${py(y)}" stroke="#999" stroke-width="0.5"${dash}/>`;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const y = low + share * (high - low);
    return `${rule(y)}<text x="${start - 6}" y="${py(y)}" dy="4" text-anchor="end">${show(y).toPrecision(3)}</text>`;
  });
  const sizes = [0, 0.5, 1].map((share) => {
    const x = left + share * (right - left);
    return `<text x="${px(x)}" y="${top + PANEL - 14}" text-anchor="middle">${(x / 1e6).toFixed(2)} MB</text>`;
  });
  const lines = ALL_METHODS.map((method) => {
    const own = marks.filter((mark) => mark.method === method).sort((a, b) => a.bytes - b.bytes);
    const points = own.map((mark) => `${px(mark.bytes)},${py(value(mark))}`);
    const colour = colourOf(method);
    const dots = own.map(
      (mark, i) =>
        `<circle cx="${points[i].split(',')[0]}" cy="${points[i].split(',')[1]}" r="4" fill="${colour}">` +
        `<title>${escapeXml(`${mark.rung} ${method}`)}</title></circle>`,
    );
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${colour}"/>${dots.join('')}`;
  });
  return (
    `<text x="${start}" y="${top + 14}">${title}</text>${ticks.join('')}${sizes.join('')}` +
    `${level === undefined ? '' : rule(level, ' stroke-dasharray="4 3"')}${lines.join('')}`
  );
}

function colourOf(method: string): string {
  return COLOURS[ALL_METHODS.indexOf(method)];
}

/** Smallest and largest with a little room. */
function span(values: readonly number[]): readonly [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = high > low ? 0.05 * (high - low) : 0.5;
  return [low - room, high + room];
}
