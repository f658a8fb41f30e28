import { useRef } from "preact/hooks";
import { scaleOf } from "../../lib/maps";
import { useSaliency } from "../../saliencyState";
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

/** Rows dense and trace, a column a method. Columns that find no room go on below. */
export function Grid() {
  const panel = useSaliency();
  const columns = panel.columns.value;
  const { cells, methods } = panel.traits;
  const masked = panel.outline.value !== "";
  const curved = Object.values(cells.value).some((cell) => cell.metrics?.insertion != null);
  return (
    <div class="sw-maps" style={{ "--sw-count": Math.max(1, methods.value.length) + 1 }}>
      <SampleColumn />
      {columns.map((method) => (
        <Column key={method.key} method={method} masked={masked} curved={curved} />
      ))}
    </div>
  );
}
