import { useEffect } from "preact/hooks";
import { percent } from "../../lib/format";
import { type PanelState, usePanel } from "../state";
import { currentTrace } from "./trace";

/** The share of further augmentations that are to keep their class, where the page asks for it. */
const ASKED = 0.9;

function outcome(panel: PanelState): string {
  const { fidelity, status, predictions, sample_id } = panel.traits;
  const first = predictions.value.sample_id === sample_id.value ? predictions.value.rows[0] : undefined;
  const name = first ? `‘${first.name}’` : "the same class";
  if (fidelity.value === null) return `the sparsest trace that still says ${name}`;
  const trace = currentTrace(panel);
  if (!trace?.fidelity) {
    const done = status.value.state === "working" ? "looking" : "not done looking";
    return `${done} for the sparsest trace that says ${name}`;
  }
  if (trace.kept === trace.total) return `nothing sparser than the dense network says ${name} often enough`;
  return `found: says ${name}, agrees on ${percent(trace.fidelity.reached, 0)} % of further augmentations`;
}

/** Instead of a sparsity: the sparsest trace that keeps the prediction. The slider goes where it is found. */
export function KeepPrediction() {
  const panel = usePanel();
  const { fidelity } = panel.traits;
  const said = outcome(panel);
  const found = fidelity.value !== null && currentTrace(panel)?.fidelity !== undefined;
  useEffect(() => {
    if (found) panel.announcement.value = said;
  }, [panel, found, said]);
  const asked = percent(fidelity.value ?? ASKED, 0);
  return (
    <div class="sw-keep">
      <button
        type="button"
        class="sw-button sw-toggle"
        aria-pressed={fidelity.value !== null}
        aria-describedby={panel.id("keep")}
        title={`The sparsest trace that names the same class, for the sample and for ${asked} % of further augmentations of it; the slider goes where it is found`}
        onClick={() => panel.connection.set("fidelity", fidelity.value === null ? ASKED : null)}
      >
        Keep the prediction
      </button>
      <span id={panel.id("keep")} class="sw-line sw-secondary" title={said}>
        {said}
      </span>
    </div>
  );
}
