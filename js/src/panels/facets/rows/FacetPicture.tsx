import { useComputed } from "@preact/signals";
import { useMemo, useRef } from "preact/hooks";
import { noPicture, type Picture } from "../../../common/explorer/wire";
import { SaveIcon } from "../../../common/parts/icons";
import { useCalm } from "../../../common/pictures/useCalm";
import { usePaintings } from "../../../common/pictures/usePaintings";
import { download } from "../../../lib/download";
import { decimal, fileName } from "../../../lib/format";
import { useFacets } from "../state";

function progressText({ state, step, steps }: Picture): string {
  if (state === "rendering") return `step ${step} of ${steps}`;
  if (state === "stopped") return `stopped at ${step} of ${steps}`;
  return state === "done" ? `${steps} steps` : state === "waiting" ? "waiting" : "\u00a0";
}

/** The neuron's picture: in the dense network (0), or under a facet's trace (its number, from 1). */
export function FacetPicture({ place, title }: { place: number; title: string }) {
  const panel = useFacets();
  const canvas = useRef<HTMLCanvasElement>(null);
  const file = panel.traits[`picture_${place}`];
  if (!file) throw new Error(`there is no place for picture ${place}`);
  const picture = useComputed(() => panel.traits.pictures.value[place] ?? noPicture);
  const painted = useMemo(() => ({ picture, file }), [picture, file]);
  const { blank, stale } = usePaintings(panel, String(place), painted, canvas);
  const calm = useCalm(picture.value);
  const { state, step, steps } = calm;
  const showing = !blank.value && picture.value.state !== "empty";
  const share = state === "done" ? 1 : steps > 0 ? step / steps : 0;

  const save = () =>
    canvas.current?.toBlob((blob) => {
      if (blob) download(blob, fileName(panel.traits.neuron.value, title));
      else panel.pageError.value = "The browser could not make a PNG of this picture.";
    }, "image/png");
  return (
    <figure
      class={`sw-picture sw-facet-picture ${place === 0 ? "sw-dense" : "sw-sparse"}`}
      data-state={picture.value.state}
      data-stale={stale.value && showing}
    >
      <div class="sw-frame">
        <canvas
          ref={canvas}
          role="img"
          aria-label={`${title}: ${picture.value.state === "rendering" ? `step ${step} of ${steps}` : picture.value.state}`}
          style={{ visibility: showing && !calm.dead ? "visible" : "hidden" }}
        />
        {showing && calm.dead && (
          <p class="sw-placeholder sw-pruned">This trace has pruned everything that reaches the neuron.</p>
        )}
        {!showing && <span class="sw-placeholder">{state === "empty" ? "no picture yet" : "waiting"}</span>}
        {showing && stale.value && <span class="sw-badge">waiting</span>}
        <span class="sw-progress" data-on={state === "rendering" || state === "stopped"} aria-hidden="true">
          <span style={{ width: `${share * 100}%` }} />
        </span>
      </div>
      <figcaption>
        <div>
          <span class="sw-caption-title">{place === 0 ? "Dense" : "Facet trace"}</span>
          <button
            type="button"
            class="sw-button sw-icon-button sw-quiet"
            aria-label={`Save as PNG: ${title}`}
            title="Save as PNG"
            disabled={!showing || calm.dead}
            onClick={save}
          >
            <SaveIcon />
          </button>
        </div>
        <div class="sw-caption-numbers">
          <span class="sw-line sw-secondary">{progressText(calm)}</span>
          <span class="sw-line sw-secondary sw-number">
            {calm.activation === null || calm.dead ? "\u00a0" : decimal(calm.activation)}
          </span>
        </div>
      </figcaption>
    </figure>
  );
}
