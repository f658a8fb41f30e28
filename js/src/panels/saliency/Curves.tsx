import { useEffect, useRef, useState } from "preact/hooks";
import { useChildWidget } from "../../common/hooks/useChildWidget";
import { useSaliency } from "./state";

/** Insertion and deletion of all maps on screen: a Plotly figure, made when it is first looked at. */
export function Curves() {
  const panel = useSaliency();
  const { curves, curves_stale, curves_status } = panel.traits;
  const open = panel.curvesOpen.value;
  const [asked, setAsked] = useState(false);
  const place = useRef<HTMLDivElement>(null);
  const child = useChildWidget(panel.host, asked ? curves.value : null, place, { plotly: true });
  const { state, text, done, of } = curves_status.value;
  const working = state === "working";
  const live = panel.connection.live.value;
  const needsKernel = !live && child === "waiting";

  useEffect(() => {
    if (!open || asked) return;
    setAsked(true);
    if (!curves.value || curves_stale.value) panel.send({ type: "curves" });
  }, [open, asked, curves, curves_stale, panel]);

  return (
    <section class="sw-curves" aria-label="Insertion and deletion curves" hidden={!open}>
      <div class="sw-heading">
        <h3>Insertion and deletion</h3>
        <span class="sw-line sw-secondary sw-curves-note">
          {working
            ? `${text || "computing"}${done !== null && of ? `, ${Math.floor(done)} of ${of}` : ""}`
            : curves_stale.value
              ? "Maps on screen are newer than these curves."
              : "The class's probability as the strongest pixels come back into the image, or leave it."}
        </span>
        <button
          type="button"
          class="sw-button"
          disabled={working || !live || (!curves_stale.value && curves.value !== null)}
          onClick={() => panel.send({ type: "curves" })}
        >
          Update
        </button>
      </div>
      <div
        class="sw-chart"
        aria-busy={!needsKernel && (working || curves_stale.value || child === "waiting")}
      >
        {needsKernel && (
          <p class="sw-secondary">The chart needs a running kernel: the areas stand under the maps.</p>
        )}
        {child === "waiting" && !needsKernel && (
          <p class="sw-secondary sw-late">
            {working || curves.value
              ? "computing the curves …"
              : "There are no curves yet: Update computes them."}
          </p>
        )}
        {child === "failed" && (
          <p class="sw-secondary">The curves can't be shown here: their areas stand under the maps.</p>
        )}
        <div ref={place} />
      </div>
    </section>
  );
}
