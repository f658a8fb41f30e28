import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { scaleOf } from "../../../lib/maps";
import { useSaliency } from "../state";
import { Column } from "./Column";
import { MapFrame } from "./MapFrame";
import { useMapCanvas } from "./useMapCanvas";

const noScale = scaleOf([], false, { colormap: "auto", signed: true, clip: 100 });

/** The sample itself, as the classifier sees it, under the same crosshair. */
function SampleColumn() {
  const panel = useSaliency();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [height, width] = panel.traits.app.value.input;
  useMapCanvas(canvas, null, noScale);
  const spot = panel.spot.value;
  const at = spot ? (spot.row * width + spot.column) * 4 : 0;
  const colour = panel.pixels.value?.slice(at, at + 3);
  return (
    <section class="sw-method sw-original" aria-label="The sample">
      <div class="sw-method-head">
        <h3>Sample</h3>
      </div>
      <figure class="sw-cell">
        <MapFrame label="The sample" say={() => "the sample"}>
          <canvas
            ref={canvas}
            width={width}
            height={height}
            role="img"
            aria-label="The sample as the classifier sees it"
            data-pixelated={Math.max(width, height) <= 128}
          />
        </MapFrame>
      </figure>
      <div class="sw-hint">
        {spot ? (
          <>
            <p>
              row <b>{spot.row}</b>, column <b>{spot.column}</b>
            </p>
            <p class="sw-spot-colour">
              <span
                class="sw-swatch"
                style={{ background: colour ? `rgb(${colour.join(" ")})` : undefined }}
              />
              <span class="sw-secondary">{colour ? colour.join(" · ") : ""}</span>
            </p>
            <p class="sw-secondary">
              {panel.pinned.value
                ? "Pinned: Escape or another click on it lets go."
                : "A click pins this pixel."}
            </p>
          </>
        ) : (
          <p class="sw-secondary">
            Point at a map: the same pixel is marked in all of them, with its values.
            {panel.outline.value !== "" && " The line is the border of what is known to be the cause."}
          </p>
        )}
      </div>
    </section>
  );
}

/** The least that a map and the lines under it can be read at, and the gap between columns; pixels. */
const LEAST = 124;
const GAP = 14;

/** How many columns stand in a line, when so many have this room: lines are about equally long. */
export function columnsInLine(columns: number, room: number): number {
  const fit = Math.max(1, Math.floor((room + GAP) / (LEAST + GAP)));
  return Math.ceil(columns / Math.ceil(columns / fit));
}

/** Rows dense and trace, a column a method. Columns that find no room go on below. */
export function Grid() {
  const panel = useSaliency();
  const part = useRef<HTMLDivElement>(null);
  const [room, setRoom] = useState(1000);
  const columns = panel.columns.value;
  const masked = panel.outline.value !== "";
  const curved = Object.values(panel.traits.cells.value).some((cell) => cell.metrics?.insertion != null);

  useLayoutEffect(() => {
    const around = part.current?.parentElement;
    if (!around) return;
    // The panel in the part of the Explorer that is hidden has no room: what it had will do.
    const look = () => setRoom((before) => around.clientWidth || before);
    look();
    const observer = new ResizeObserver(look);
    observer.observe(around);
    return () => observer.disconnect();
  }, []);

  return (
    <div class="sw-maps" ref={part} style={{ "--sw-line-of": columnsInLine(columns.length + 1, room) }}>
      <SampleColumn />
      {columns.map((method) => (
        <Column key={method.key} method={method} masked={masked} curved={curved} />
      ))}
    </div>
  );
}
