import { useEffect, useRef, useState } from "preact/hooks";
import { useExplorer } from "../../common/explorer/state";
import { useChildWidget } from "../../common/hooks/useChildWidget";
import { remembered } from "../../common/memory";
import { LayerTable } from "../../common/sparsity/LayerTable";

const PATIENCE_MS = 20_000;

/**
 * The layers of the trace as a Plotly chart, or as a table. The chart is a widget of its own, and plotly.js comes from
 * the kernel: both are asked for only when someone looks; where they can't be had, the table says the same.
 */
export function WhatIsLeft() {
  const panel = useExplorer();
  const reference = panel.traits.chart.value;
  const place = useRef<HTMLDivElement>(null);
  const [{ open, view }] = useState(() => ({
    open: remembered(panel.memory, "left open", false),
    view: remembered<"chart" | "table">(panel.memory, "left view", "chart"),
  }));
  // Once drawn the chart stays until the view goes: folded away it is still kept up to date.
  const [asked, setAsked] = useState(open.value);
  const [late, setLate] = useState(false);
  const child = useChildWidget(panel.host, asked ? reference : null, place, { plotly: true });
  const live = panel.connection.live.value;
  const state = child === "waiting" && (late || !live) ? "failed" : child;

  useEffect(() => {
    if (asked && !reference) panel.send({ type: "chart" });
  }, [asked, reference, panel]);

  useEffect(() => {
    setLate(false);
    if (!asked || child !== "waiting") return;
    const timer = setTimeout(() => setLate(true), PATIENCE_MS);
    return () => clearTimeout(timer);
  }, [asked, reference, child]);

  const table = view.value === "table" || state === "failed";
  return (
    <details
      class="sw-left"
      open={open.value}
      onToggle={(event) => {
        open.value = event.currentTarget.open;
        if (event.currentTarget.open) setAsked(true);
      }}
    >
      <summary>
        <h3>What is left</h3>
        <span class="sw-secondary">kept weights and relative error, layer by layer</span>
      </summary>
      <fieldset class="sw-segments" aria-label="How to show the layers">
        {(["chart", "table"] as const).map((choice) => (
          <button
            key={choice}
            type="button"
            aria-pressed={(choice === "table") === table}
            disabled={choice === "chart" && state === "failed"}
            onClick={() => {
              view.value = choice;
            }}
          >
            {choice === "chart" ? "Chart" : "Table"}
          </button>
        ))}
      </fieldset>
      {state === "failed" && (
        <p class="sw-secondary">
          {live ? "The chart can't be shown here" : "The chart needs a running kernel"}: this is its table.
        </p>
      )}
      <div class="sw-chart" hidden={table} aria-busy={state === "waiting"}>
        {state === "waiting" && <p class="sw-secondary">drawing the chart …</p>}
        <div ref={place} />
      </div>
      {open.value && table && <LayerTable />}
    </details>
  );
}
