/** Where a command writes; tests pass their own. */
export interface Terminal {
  /** Data. */
  stdout(text: string): void;
  /** Progress, warnings, errors. */
  stderr(text: string): void;
  /** stderr is a terminal: progress may redraw its line. */
  readonly interactive: boolean;
  readonly colour: boolean;
  /** Width of the terminal, where it is known. */
  readonly columns?: number;
  /** Puts a question to a person; absent where nobody is there to answer. */
  ask?(question: string): Promise<string>;
}

export interface Output {
  /** The program asked for NDJSON: `print` is silent, `event` writes. */
  readonly json: boolean;
  /** A line for people, on stdout. */
  print(line?: string): void;
  /** Text for people as it comes, on stdout, no line break added. */
  write(text: string): void;
  /** Rows with aligned columns, on stdout; columns listed in `right` are right-aligned. */
  table(rows: readonly (readonly string[])[], right?: readonly number[]): void;
  /** A line for people, on stderr. */
  note(line: string): void;
  /** An NDJSON line under --json, else nothing. */
  event(event: string, fields: Readonly<Record<string, unknown>>): void;
  bold(text: string): string;
  dim(text: string): string;
}

export function createOutput(terminal: Terminal, { json }: { readonly json: boolean }): Output {
  const style = (open: number, close: number) => (text: string) =>
    terminal.colour && !json ? `\u001b[${open}m${text}\u001b[${close}m` : text;
  const write = (text: string): void => {
    if (!json) terminal.stdout(text);
  };
  const print = (line = ''): void => write(`${line}\n`);
  return {
    json,
    print,
    write,
    table(rows, right = []) {
      for (const line of alignRows(rows, right)) print(line);
    },
    note(line) {
      terminal.stderr(`${line}\n`);
    },
    event(event, fields) {
      if (json) terminal.stdout(`${JSON.stringify({ event, ...fields })}\n`);
    },
    bold: style(1, 22),
    dim: style(2, 22),
  };
}

function alignRows(rows: readonly (readonly string[])[], right: readonly number[]): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd(),
  );
}

/** 1,234,567 */
export function formatCount(value: number): string {
  return value.toLocaleString('en-US');
}

/** Bytes in binary units: 33554432 → 32.0 MiB. */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${bytes} bytes` : `${value.toFixed(1)} ${units[unit]}`;
}

/** 4.2 s, 3m05s, 2h07m. */
export function formatDuration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pad = (value: number) => String(value).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)}m${pad(whole % 60)}s`;
  return `${Math.floor(whole / 3600)}h${pad(Math.floor((whole % 3600) / 60))}m`;
}
