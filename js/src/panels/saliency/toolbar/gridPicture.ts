import { gradientStops } from "../../../lib/colormaps";
import { figure, percent } from "../../../lib/format";
import { type SaliencyMap, type Scale, scaleOf, tableRange } from "../../../lib/maps";
import { paintMap } from "../../../lib/paintMap";
import { measureColumn } from "../maps/Column";
import { rowTitles } from "../names";
import type { SaliencyState } from "../state";
import { cellKey, networks } from "../wire";

const GAP = 16;
const LINE = 20;
/** The maps' width in the picture, at least; in whole multiples of theirs. */
const WIDTH = 320;

/** The grid as it is on screen, as one picture: for a paper, a slide, a message. */
export function drawGrid(panel: SaliencyState): HTMLCanvasElement {
  const [height, width] = panel.traits.app.value.input;
  const zoom = Math.max(1, Math.ceil(WIDTH / width));
  const [cellWidth, cellHeight] = [width * zoom, height * zoom];
  const columns = panel.columns.value;
  const style = getComputedStyle(panel.root);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const ink = style.color;
  const look = panel.look.value;

  const rowHeight = cellHeight + 2 * LINE + GAP;
  const canvas = document.createElement("canvas");
  canvas.width = GAP + (columns.length + 1) * (cellWidth + GAP);
  canvas.height = GAP + LINE + networks.length * rowHeight;
  const context = canvas.getContext("2d");
  if (!context) return canvas;
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.textBaseline = "middle";
  context.imageSmoothingEnabled = false;

  const write = (
    text: string,
    x: number,
    y: number,
    fill: string,
    font: string,
    align: CanvasTextAlign = "left",
  ) => {
    context.fillStyle = fill;
    context.font = `${font} ${style.fontFamily}`;
    context.textAlign = align;
    context.fillText(text, x, y, cellWidth);
  };
  const small = document.createElement("canvas");
  small.width = width;
  small.height = height;
  const draw = (map: SaliencyMap | null, scale: Scale, x: number, y: number) => {
    const from = small.getContext("2d");
    if (!from) return;
    const picture = from.createImageData(width, height);
    const image = panel.pixels.value?.length === picture.data.length ? panel.pixels.value : null;
    paintMap(picture.data, image, map, scale, look.opacity);
    from.putImageData(picture, 0, 0);
    context.drawImage(small, x, y, cellWidth, cellHeight);
    if (!look.outline || panel.outline.value === "") return;
    context.save();
    context.translate(x, y);
    context.scale(zoom, zoom);
    const path = new Path2D(panel.outline.value);
    for (const [stroke, wide] of [
      ["#000", 4],
      ["#fff", 2],
    ] as const) {
      context.strokeStyle = stroke;
      context.lineWidth = wide / zoom;
      context.stroke(path);
    }
    context.restore();
  };

  const top = GAP + LINE;
  const sample = panel.traits.samples.value.find((one) => one.id === panel.traits.sample_id.value);
  write(sample?.title ?? "sample", GAP, GAP + LINE / 2, ink, "600 15px");
  const target = panel.target.value;
  const about = target === null ? "" : `for ${panel.traits.app.value.classes[target] ?? target}`;
  draw(null, scaleOf([], false, look), GAP, top);
  write(about, GAP, top + cellHeight + LINE / 2, ink, "13px");

  for (const [index, method] of columns.entries()) {
    const x = GAP + (index + 1) * (cellWidth + GAP);
    const { maps, scales } = measureColumn(panel, method);
    write(method.title, x, GAP + LINE / 2, ink, "600 15px");
    for (const [row, network] of networks.entries()) {
      const y = top + row * rowHeight;
      const cell = panel.traits.cells.value[cellKey(network, method.key)];
      const map = cell?.state === "error" ? null : maps[network];
      draw(map, scales[network], x, y);
      const auc = cell?.metrics?.trojan_auc;
      write(rowTitles[network], x, y + cellHeight + LINE / 2, colour(`--sw-${network}`), "600 14px");
      if (auc != null)
        write(`AUC ${percent(auc)}`, x + cellWidth, y + cellHeight + LINE / 2, ink, "13px", "right");
      if (look.scale === "own" || row === networks.length - 1) bar(scales[network], x, y + cellHeight + LINE);
    }
  }
  return canvas;

  function bar(scale: Scale, x: number, y: number) {
    if (!context) return;
    const fill = context.createLinearGradient(x, 0, x + cellWidth, 0);
    for (const [place, stop] of gradientStops(scale.colours, ...tableRange(scale)))
      fill.addColorStop(place, stop);
    context.fillStyle = fill;
    context.fillRect(x, y, cellWidth, 6);
    const line = y + 6 + LINE / 2;
    write(scale.signs === "both" ? figure(-scale.limit) : "0", x, line, ink, "12px");
    write(figure(scale.limit), x + cellWidth, line, ink, "12px", "right");
  }
}
