/** Charts as inline SVG: no script, no font and no file beside them. */

const WIDTH = 640;
const HEIGHT = 200;
const MARGIN = { left: 64, right: 12, top: 10, bottom: 28 };

export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** A line over a linear x axis; the y axis is logarithmic where all values are positive. */
export function lineChart(title: string, points: readonly Point[]): string {
  if (points.length === 0) return '';
  const log = points.every(({ y }) => y > 0);
  const height = (y: number) => (log ? Math.log10(y) : y);
  const [left, right] = bounds(points.map(({ x }) => x));
  const [low, high] = bounds(points.map(({ y }) => height(y)));
  const px = (x: number) =>
    MARGIN.left + ((x - left) / (right - left)) * (WIDTH - MARGIN.left - MARGIN.right);
  const py = (value: number) =>
    HEIGHT - MARGIN.bottom - ((value - low) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const path = points.map(({ x, y }) => `${px(x).toFixed(1)},${py(height(y)).toFixed(1)}`).join(' ');
  const ticks = [0, 0.5, 1].map((share) => {
    const value = low + share * (high - low);
    const y = py(value).toFixed(1);
    return (
      `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${y}" y2="${y}"/>` +
      `<text x="${MARGIN.left - 6}" y="${y}" dy="4" text-anchor="end">${short(log ? 10 ** value : value)}</text>`
    );
  });
  const ends = [left, right].map(
    (x) =>
      `<text x="${px(x).toFixed(1)}" y="${HEIGHT - 8}" text-anchor="${x === left ? 'start' : 'end'}">${short(x)}</text>`,
  );
  return (
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeXml(title)}">` +
    `${ticks.join('')}${ends.join('')}<polyline class="line" points="${path}"/></svg>`
  );
}

export interface Bar {
  readonly label: string;
  /** Drawn beside each other, each in its own colour. */
  readonly values: readonly number[];
  readonly text: string;
}

/** Horizontal bars. */
export function barChart(title: string, bars: readonly Bar[]): string {
  const row = 14 * Math.max(1, ...bars.map(({ values }) => values.length)) + 10;
  const height = bars.length * row + 8;
  const most = Math.max(...bars.flatMap(({ values }) => values), Number.MIN_VALUE);
  const [labels, texts] = [170, 150];
  const drawn = bars.map(({ label, values, text }, index) => {
    const y = index * row + 8;
    const middle = y + (row - 10) / 2 + 4;
    const rectangles = values.map((value, k) => {
      const width = (Math.max(0, value) / most) * (WIDTH - labels - texts);
      return `<rect class="bar${k}" x="${labels}" y="${y + 14 * k}" width="${width.toFixed(1)}" height="12"/>`;
    });
    return (
      `<text x="${labels - 8}" y="${middle}" text-anchor="end">${escapeXml(label)}</text>${rectangles.join('')}` +
      `<text x="${WIDTH}" y="${middle}" text-anchor="end">${escapeXml(text)}</text>`
    );
  });
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeXml(title)}">${drawn.join('')}</svg>`;
}

/** Smallest and largest, apart from each other. */
function bounds(values: readonly number[]): readonly [number, number] {
  const low = values.reduce((a, b) => Math.min(a, b));
  const high = values.reduce((a, b) => Math.max(a, b));
  return high > low ? [low, high] : [low - 0.5, high + 0.5];
}

function short(value: number): string {
  return Number.isInteger(value) ? `${value}` : value.toPrecision(3);
}
