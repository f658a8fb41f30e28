import { toUint8 } from "./bytes";

/** The border of a mask's ones as an SVG path in pixels: a stroke for each run of pixel edges. "" where there is none. */
export function outlinePath(data: unknown, height: number, width: number): string {
  const mask = toUint8(data);
  if (mask.length !== height * width || height * width === 0) return "";
  const inside = (row: number, column: number) =>
    row >= 0 && column >= 0 && row < height && column < width && mask[row * width + column] !== 0;
  const strokes: string[] = [];
  for (let row = 0; row <= height; row++) {
    for (let column = 0; column < width; column++) {
      const from = column;
      while (column < width && inside(row - 1, column) !== inside(row, column)) column++;
      if (column > from) strokes.push(`M${from} ${row}H${column}`);
    }
  }
  for (let column = 0; column <= width; column++) {
    for (let row = 0; row < height; row++) {
      const from = row;
      while (row < height && inside(row, column - 1) !== inside(row, column)) row++;
      if (row > from) strokes.push(`M${column} ${from}V${row}`);
    }
  }
  return strokes.join("");
}
