import { count, median, percent, seconds } from "../../lib/format";
import { type PanelState, usePanel } from "../state";
import type { TraceInfo } from "../wire";
import { isStale, isTrace } from "./trace";

function errors(trace: TraceInfo): { middle: number; worst: number; where: string } | null {
  const measured = trace.layers.filter((layer) => typeof layer.error === "number");
  if (measured.length === 0) return null;
  const worst = measured.reduce((a, b) => ((b.error as number) > (a.error as number) ? b : a));
  return {
    middle: median(measured.map((layer) => layer.error as number)),
    worst: worst.error as number,
    where: worst.name,
  };
}

/** Of a draft: what comes first, and what follows. */
function underWay(trace: TraceInfo, panel: PanelState): string {
  const { solver, sequential } = panel.traits;
  const asked = solver.value === "auto" ? "a better one" : solver.value;
  return `${trace.draft} first, ${asked}${sequential.value ? " block by block" : ""} under way`;
}

/** What the trace is and what it cost, also where that is bad news. */
export function TraceFacts() {
  const panel = usePanel();
  const trace = panel.traits.trace_summary.value;
  if (!isTrace(trace)) {
    return (
      <div class="sw-facts">
        <p class="sw-secondary">No trace of this sample yet.</p>
      </div>
    );
  }
  const error = errors(trace);
  const stale = isStale(panel);
  const layers = trace.layers.length === 1 ? "1 layer" : `${trace.layers.length} layers`;
  return (
    <div class="sw-facts" aria-busy={stale}>
      <p>
        <span>
          kept <b>{count(trace.kept)}</b> of {count(trace.total)} weights
        </span>
        <span class="sw-secondary">
          {percent(trace.total > 0 ? trace.kept / trace.total : 0)} % in {layers}
          {trace.dense_layers > 0 && `, ${trace.dense_layers} left dense`}
        </span>
      </p>
      <p>
        {trace.agrees ? (
          <span class="sw-agrees" title={`Both predict ${trace.dense_class}`}>
            ✓ both predict{" "}
            <b>
              <bdi>{trace.dense_class}</bdi>
            </b>
          </span>
        ) : (
          <span class="sw-disagrees" title={`The dense model predicts ${trace.dense_class}`}>
            ✗ the trace predicts{" "}
            <b>
              <bdi>{trace.sparse_class}</bdi>
            </b>
          </span>
        )}
        <span class="sw-secondary">
          {trace.agrees ? "" : `not ${trace.dense_class} · `}KL divergence {trace.kl.toFixed(2)}
        </span>
      </p>
      <p>
        {error ? (
          <span
            title={`Relative reconstruction error of a layer's output, median of all layers; worst in ${error.where}`}
          >
            error <b>{error.middle.toFixed(2)}</b>, worst {error.worst.toFixed(2)}
          </span>
        ) : (
          <span>error not measured</span>
        )}
        <span class="sw-secondary sw-line">
          {trace.draft === "" ? (
            `${trace.augmentations} augmentations${trace.seconds === null ? "" : ` · ${seconds(trace.seconds)}`}`
          ) : (
            <span
              class="sw-draft"
              title={`A first look: ${underWay(trace, panel)}. It is replaced as soon as what was asked for is there`}
            >
              {trace.draft.includes("augmentations") ? trace.draft : underWay(trace, panel)}
            </span>
          )}
        </span>
      </p>
    </div>
  );
}
