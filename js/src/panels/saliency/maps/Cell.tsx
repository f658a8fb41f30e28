import { useRef } from "preact/hooks";
import { SaveIcon } from "../../../common/parts/icons";
import type { Which } from "../../../common/wire";
import { download } from "../../../lib/download";
import { figure, percent, seconds } from "../../../lib/format";
import type { SaliencyMap, Scale } from "../../../lib/maps";
import { npy } from "../../../lib/npy";
import { rowNames, rowTitles, stem } from "../names";
import { type SaliencyState, type Spot, useSaliency } from "../state";
import { type CellInfo, cellKey, type MethodInfo, type Metrics, noCell } from "../wire";
import { ColorBar } from "./ColorBar";
import { MapFrame } from "./MapFrame";
import { useMapCanvas } from "./useMapCanvas";

/** How far the map is, in a few words. */
export function progressText(cell: CellInfo): string {
  const { state, done, of } = cell;
  const share = of > 0 ? ` ${Math.floor((done / of) * 100)} %` : "";
  if (state === "running") return `running${share}`;
  if (state === "stopped") return done > 0 ? `stopped at${share}` : "stopped";
  if (state === "done") return seconds(cell.seconds);
  return state === "error" ? "\u00a0" : "waiting";
}

/** The same where there is little room, and the bar shows how far it is. */
function briefly(cell: CellInfo): string {
  const { state, done, of } = cell;
  if (state === "running" && of > 0) return `${Math.floor((done / of) * 100)} %`;
  return state === "stopped" ? "stopped" : progressText(cell);
}

function describe(title: string, network: Which, cell: CellInfo, map: SaliencyMap | null): string {
  const what = `${title} in the ${rowNames[network]}`;
  if (cell.state === "error") return `No map of ${what}`;
  if (cell.state !== "done" || !map) return `Map of ${what}: ${cell.state}`;
  return `Map of ${what}: done, values from ${figure(map.low)} to ${figure(map.high)}`;
}

/** What is wrong with a map whose values cannot all be drawn, or say nothing. */
export function oddity(map: SaliencyMap): string {
  const missing = map.values.length - map.finite;
  if (map.finite === 0) return "no value is a number";
  if (missing > 0) return `${missing} values are no numbers`;
  return map.low === 0 && map.high === 0 ? "all zero" : "";
}

function valueAt(panel: SaliencyState, map: SaliencyMap | null, { row, column }: Spot): string {
  const [, width] = panel.traits.app.value.input;
  const value = map?.values[row * width + column];
  return value === undefined ? "–" : figure(value);
}

/** The value at the crosshair, or the range of all: always one line. */
function Readout({ map, sum }: { map: SaliencyMap | null; sum: number }) {
  const panel = useSaliency();
  const spot = panel.spot.value;
  if (spot) {
    return (
      <div class="sw-readout">
        <span class="sw-secondary">
          {spot.row}, {spot.column}
        </span>
        <b>{valueAt(panel, map, spot)}</b>
      </div>
    );
  }
  return (
    <div
      class="sw-readout sw-secondary"
      title={map ? `The map's values; their sum is ${figure(sum)}` : undefined}
    >
      {map ? `${figure(map.low)} to ${figure(map.high)}` : "\u00a0"}
    </div>
  );
}

/** The numbers that judge the map. Lines are there as soon as any map could fill them, so that nothing moves. */
function MetricsLines({ metrics, masked, curved }: { metrics: Metrics; masked: boolean; curved: boolean }) {
  const { trojan_auc, pointing_game, insertion, deletion } = metrics;
  return (
    <>
      {masked && (
        <div class="sw-metrics">
          <span title="Trojan AUC: how well |value| tells the patch from the rest; 50 is chance, 100 is perfect">
            {trojan_auc === null ? "\u00a0" : `AUC ${percent(trojan_auc)}`}
          </span>
          {pointing_game !== null && (
            <span
              class={pointing_game > 0 ? "sw-hit" : "sw-miss"}
              title="Pointing game: whether the strongest pixel lies in the patch"
            >
              {pointing_game > 0 ? "✓ hit" : "✗ miss"}
            </span>
          )}
        </div>
      )}
      {curved && (
        <div class="sw-metrics">
          <span title="Insertion AUC: the class's probability as the strongest pixels come back first; higher is better">
            {insertion === null ? "\u00a0" : `ins ${insertion.toFixed(3)}`}
          </span>
          <span title="Deletion AUC: the class's probability as the strongest pixels go first; lower is better">
            {deletion === null ? "\u00a0" : `del ${deletion.toFixed(3)}`}
          </span>
        </div>
      )}
    </>
  );
}

interface Props {
  network: Which;
  method: MethodInfo;
  map: SaliencyMap | null;
  scale: Scale;
  masked: boolean;
  curved: boolean;
}

/** One map, with all there is to say about it. */
export function Cell({ network, method, map, scale, masked, curved }: Props) {
  const panel = useSaliency();
  const canvas = useRef<HTMLCanvasElement>(null);
  const cell = panel.traits.cells.value[cellKey(network, method.key)] ?? noCell;
  const [height, width] = panel.traits.app.value.input;
  const { state } = cell;
  const failed = state === "error";
  const shown = failed ? null : map;
  useMapCanvas(canvas, shown, scale);

  const stale = shown !== null && state !== "done";
  const share = cell.of > 0 ? cell.done / cell.of : 0;
  const odd = shown && !stale ? oddity(shown) : "";
  const busy = state === "running" || state === "stopped";
  return (
    <figure class={`sw-cell sw-${network}`} data-state={state} data-stale={stale} data-key={cell.key}>
      <MapFrame
        label={`${method.title}, ${rowNames[network]}`}
        blank={shown === null}
        say={(spot) => `${method.title} ${valueAt(panel, shown, spot)}`}
      >
        <canvas
          ref={canvas}
          width={width}
          height={height}
          role="img"
          aria-label={describe(method.title, network, cell, shown)}
          data-pixelated={Math.max(width, height) <= 128}
          data-blank={shown === null}
        />
        {failed ? (
          <span class="sw-cell-error">{cell.error || "This map could not be made."}</span>
        ) : (
          shown === null && (
            <span class="sw-cell-note">
              <span>{progressText(cell)}</span>
            </span>
          )
        )}
        {stale && <span class="sw-badge">{state === "stopped" ? "stopped" : "former"}</span>}
        {odd !== "" && <span class="sw-badge sw-odd">{odd}</span>}
        <span class="sw-progress" data-on={busy} aria-hidden="true">
          <span style={{ width: `${share * 100}%` }} />
        </span>
      </MapFrame>
      <figcaption>
        <div class="sw-cell-head">
          <span class="sw-caption-title">{rowTitles[network]}</span>
          <span class="sw-line sw-secondary">{briefly(cell)}</span>
          <button
            type="button"
            class="sw-button sw-icon-button sw-quiet"
            aria-label={`Save ${method.title} of the ${rowNames[network]} as NumPy (.npy)`}
            title="Save the map's numbers as NumPy (.npy)"
            disabled={shown === null || stale}
            onClick={() => {
              if (!shown) return;
              const bytes = npy(shown.values, [height, width]);
              download(
                new Blob([bytes], { type: "application/octet-stream" }),
                `${stem(panel, network, method.key)}.npy`,
              );
            }}
          >
            <SaveIcon />
          </button>
        </div>
        <Readout map={shown} sum={cell.sum} />
        {shown !== null && cell.note && (
          <div class="sw-line sw-secondary sw-sum-note" title={cell.note}>
            {cell.note}
          </div>
        )}
        <MetricsLines metrics={cell.metrics} masked={masked} curved={curved} />
        {panel.look.value.scale === "own" && <ColorBar scale={scale} clip={panel.look.value.clip} />}
      </figcaption>
    </figure>
  );
}
