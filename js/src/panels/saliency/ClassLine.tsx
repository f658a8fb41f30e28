import { percent } from "../../lib/format";
import { useSaliency } from "./state";

/** Whose maps these are: a class, by default the one that the dense model predicts. */
export function ClassLine() {
  const panel = useSaliency();
  const { predictions, app, target, sample_id } = panel.traits;
  const { classes } = app.value;
  const current = panel.target.value;
  const fresh = predictions.value.sample_id === sample_id.value;
  const rows = fresh ? predictions.value.rows : [];
  const likely = new Set(rows.map((row) => row.index));
  const row = rows.find((one) => one.index === current);
  const predicted = target.value < 0;
  return (
    <div class="sw-class-line">
      <label class="sw-label" for={panel.id("target")}>
        What speaks for
      </label>
      <select
        id={panel.id("target")}
        class="sw-input"
        title="The class whose maps these are"
        value={current === null ? "" : String(current)}
        onChange={(event) => panel.connection.set("target", Number(event.currentTarget.value))}
      >
        {current === null && <option value="">…</option>}
        <optgroup label="Most likely">
          {rows.map((one) => (
            <option key={one.index} value={String(one.index)}>
              {one.name}
            </option>
          ))}
        </optgroup>
        <optgroup label="All classes">
          {classes.map(
            (name, index) =>
              !likely.has(index) && (
                <option key={index} value={String(index)}>
                  {name}
                </option>
              ),
          )}
        </optgroup>
      </select>
      <button
        type="button"
        class="sw-button"
        title="The maps of the class that the dense model predicts, whatever the sample"
        aria-pressed={predicted}
        disabled={predicted}
        onClick={() => panel.connection.set("target", -1)}
      >
        Predicted class
      </button>
      <span class="sw-class-shares">
        {row && (
          <>
            <span class="sw-dense">dense {percent(row.dense)} %</span>
            <span class="sw-sparse">{row.sparse === null ? "" : `trace ${percent(row.sparse)} %`}</span>
          </>
        )}
      </span>
    </div>
  );
}
