// What the numbers of a trace say, and of what.

import type { PanelState } from "../state";
import type { TraceInfo } from "../wire";

export function isTrace(trace: Partial<TraceInfo>): trace is TraceInfo {
  return typeof trace.total === "number" && Array.isArray(trace.layers);
}

/** Whether the last trace is of another sample, sparsity or way to prune than what is chosen. A draft is of that. */
export function isStale(panel: PanelState): boolean {
  const trace = panel.traits.trace_summary.value;
  if (!isTrace(trace)) return false;
  const { sample_id, sparsity, fidelity, sequential } = panel.traits;
  const wanted = panel.held.value ?? sparsity.value;
  return (
    trace.sample_id !== sample_id.value ||
    Math.abs(trace.sparsity - wanted) > 1e-6 ||
    (trace.fidelity?.asked ?? null) !== fidelity.value ||
    (trace.draft === "" && trace.sequential !== sequential.value)
  );
}

/** The trace of what is chosen, or a draft of it; null while there is none. */
export function currentTrace(panel: PanelState): TraceInfo | null {
  const trace = panel.traits.trace_summary.value;
  return isTrace(trace) && !isStale(panel) ? trace : null;
}
