/** Rows of text, aligned. */

export interface Column {
  readonly title: string;
  readonly width: number;
  readonly right?: boolean;
}

export function tableLine(columns: readonly Column[], cells: readonly string[]): string {
  return columns
    .map(({ width, right }, index) => {
      const cell = cells[index] ?? "";
      return right ? cell.padStart(width) : cell.padEnd(width);
    })
    .join("  ")
    .trimEnd();
}

export function tableHead(columns: readonly Column[]): string {
  return tableLine(
    columns,
    columns.map(({ title }) => title),
  );
}
