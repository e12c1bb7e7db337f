/** Tables for people: columns as wide as needed, cut only when the terminal is too narrow. Machines take `--json`. */

export type Tone = 'good' | 'bad' | 'dim';
export type Cell = string | { readonly text: string; readonly tone: Tone };

export type Column = {
  readonly title: string;
  readonly align?: 'right';
  /** Whether cells may be cut when the line is too long. */
  readonly mayShrink?: boolean;
};

/** @param columns of the terminal; undefined: as wide as it gets */
export type Paper = { readonly columns: number | undefined; readonly colour: boolean };

const GAP = '  ';
const NARROWEST = 8;
const COLOURS: Readonly<Record<Tone, string>> = { good: '32', bad: '31', dim: '2' };

/** A line of titles, then a line for each row. Each line ends with a newline and has no space before it. */
export function renderTable(columns: readonly Column[], rows: readonly (readonly Cell[])[], paper: Paper): string {
  const texts = rows.map((row) => row.map(textOf));
  const natural = columns.map(({ title }, index) => Math.max(title.length, ...texts.map((row) => (row[index] ?? '').length)));
  const widths = fit(natural, columns, paper.columns);
  const line = (cells: readonly Cell[]): string =>
    `${columns
      .map(({ align }, index) => {
        const cell = cells[index] ?? '';
        const width = widths[index] ?? 0;
        const cut = cutTo(textOf(cell), width);
        return inColour(align === 'right' ? cut.padStart(width) : cut.padEnd(width), cell, paper);
      })
      .join(GAP)
      .trimEnd()}\n`;
  return line(columns.map(({ title }) => title)) + rows.map(line).join('');
}

/** One text in its colour, if there are colours. */
export function toned(text: string, tone: Tone, paper: Paper): string {
  return paper.colour ? `\u001B[${COLOURS[tone]}m${text}\u001B[0m` : text;
}

/** Texts come from Neutron and from configurations: none of them may steer the terminal. */
export function printable(text: string): string {
  return text.replaceAll(/\p{C}/gu, '\uFFFD');
}

function textOf(cell: Cell): string {
  return printable(typeof cell === 'string' ? cell : cell.text);
}

/** Only the visible part is coloured, so that the spaces at the end of a line can go. */
function inColour(text: string, cell: Cell, paper: Paper): string {
  if (typeof cell === 'string') return text;
  const visible = text.trim();
  return visible === '' ? text : text.replace(visible, () => toned(visible, cell.tone, paper));
}

/** Takes from the widest column that may shrink until the line fits, or nothing is left to take. */
function fit(natural: readonly number[], columns: readonly Column[], limit: number | undefined): readonly number[] {
  const widths = [...natural];
  const length = (): number => widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  const most = limit ?? Number.POSITIVE_INFINITY;
  while (length() > most) {
    const widest = columns.reduce<number | undefined>((best, { mayShrink, title }, index) => {
      const width = widths[index] ?? 0;
      if (mayShrink !== true || width <= Math.max(NARROWEST, title.length)) return best;
      return best === undefined || width > (widths[best] ?? 0) ? index : best;
    }, undefined);
    if (widest === undefined) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function cutTo(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
