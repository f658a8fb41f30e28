import { useRef } from "preact/hooks";
import { download } from "../../lib/download";
import { decimal, fileName, seconds } from "../../lib/format";
import { describeNeuron } from "../../lib/neuron";
import { transform } from "../../lib/viewport";
import { type ExplorerState, useExplorer } from "../explorer/state";
import type { Morph, Picture, PictureState } from "../explorer/wire";
import { SaveIcon } from "../parts/icons";
import { currentTrace } from "../sparsity/trace";
import type { Which } from "../wire";
import { useCalm } from "./useCalm";
import { usePaintings } from "./usePaintings";
import { useZoomAndPan } from "./useZoomAndPan";

const titles: Record<Which, string> = { dense: "Dense", sparse: "Trace of this sample" };
const models: Record<Which, string> = { dense: "dense model", sparse: "trace" };

const PRUNED =
  "This trace has pruned everything that reaches the neuron: lower the sparsity or choose another.";

const ABOUT_MORPHS =
  "The picture that was there goes on under the new weights. The trace's own, begun from noise, takes its place as soon as it excites the neuron nearly as much.";

function morphText({ source, step }: Morph, state: PictureState): string {
  const what = source === "" ? "first look" : `morphing from ${source}`;
  return `${what} · ${state === "stopped" ? "stopped at " : ""}step ${step}`;
}

function progressText(picture: Picture): string {
  const { state, step, steps, morph } = picture;
  if (morph) return morphText(morph, state);
  if (state === "rendering") return `step ${step} of ${steps} · ${seconds(picture.seconds)}`;
  if (state === "stopped") return `stopped at ${step} of ${steps} · ${seconds(picture.seconds)}`;
  if (state === "done") return `${steps} steps · ${seconds(picture.seconds)}`;
  return state === "waiting" ? "waiting" : "\u00a0";
}

/** The canvas, said in words. */
function describe(which: Which, picture: Picture, classes: readonly string[]): string {
  const { state, step, steps } = picture;
  const what = `What excites ${describeNeuron(picture.neuron, classes)} in the ${models[which]}`;
  if (state === "empty" || picture.neuron === "") return `No picture of the ${models[which]} yet`;
  if (state === "waiting") return `${what}: waiting`;
  if (picture.morph) return `${what}: ${state}, step ${step} of ${steps}; ${morphText(picture.morph, state)}`;
  if (state === "rendering") return `${what}: rendering, step ${step} of ${steps}`;
  return state === "stopped" ? `${what}: stopped at step ${step} of ${steps}` : `${what}: done`;
}

/** What the network says of the sample: a trace that says something else shows something else. */
function Says({ which }: { which: Which }) {
  const panel = useExplorer();
  const trace = currentTrace(panel);
  if (!trace) return <p class="sw-line sw-secondary sw-says">{"\u00a0"}</p>;
  if (which === "sparse" && !trace.agrees) {
    const said = `says ‘${trace.sparse_class}’ here`;
    return (
      <p
        class="sw-line sw-says sw-disagrees"
        title={`${said}; the dense network says ‘${trace.dense_class}’`}
      >
        {said}
      </p>
    );
  }
  const said = `says ‘${trace.dense_class}’${which === "sparse" ? " too" : ""}`;
  return (
    <p class="sw-line sw-secondary sw-says" title={said}>
      {said}
    </p>
  );
}

function Activation({ picture }: { picture: Picture }) {
  if (picture.dead) {
    return (
      <span
        class="sw-line sw-number sw-dead"
        title="Nothing that a picture shows reaches this neuron: this is no more than noise"
      >
        dead: nothing excites it
      </span>
    );
  }
  return (
    <span class="sw-line sw-secondary sw-number">
      {picture.activation === null ? "\u00a0" : `activation ${decimal(picture.activation)}`}
    </span>
  );
}

function save(panel: ExplorerState, which: Which, canvas: HTMLCanvasElement) {
  const { samples, sample_id, sparsity } = panel.traits;
  const sample = samples.value.find((known) => known.id === sample_id.value);
  const part = which === "dense" ? "dense" : `trace-${(sparsity.value * 100).toFixed(1)}`;
  const name = fileName(sample?.title ?? "", panel.traits[which].value.neuron, part);
  canvas.toBlob((blob) => {
    if (!blob) {
      panel.pageError.value = "The browser could not make a PNG of this picture.";
      return;
    }
    download(blob, name);
  }, "image/png");
}

/** One of the two pictures, with what there is to say about it. */
export function PictureView({ which }: { which: Which }) {
  const panel = useExplorer();
  const canvas = useRef<HTMLCanvasElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const picture = panel.traits[which].value;
  const painted = { picture: panel.traits[which], file: panel.traits[`${which}_file`] };
  const { blank, stale } = usePaintings(panel, which, painted, canvas);
  useZoomAndPan(panel, frame);

  const viewport = panel.viewport.value;
  const { state } = picture;
  const calm = useCalm(picture);
  const { step, steps } = calm;
  const share = calm.state === "done" ? 1 : steps > 0 ? step / steps : 0;
  const running = state === "rendering" || state === "stopped";
  const showing = !blank.value && state !== "empty";
  // There is nothing to be seen but noise, or what other weights made of it.
  const pruned = which === "sparse" && showing && picture.dead;
  return (
    <figure class={`sw-picture sw-${which}`} data-state={state} data-stale={stale.value && showing}>
      <div
        class="sw-frame"
        ref={frame}
        role="group"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it zooms and pans by keys
        tabIndex={0}
        aria-label={`${titles[which]}: plus and minus zoom, arrows move, 0 shows the whole picture`}
        data-zoomed={viewport.scale > 1}
      >
        <canvas
          ref={canvas}
          role="img"
          aria-label={describe(which, picture, panel.traits.app.value.classes)}
          style={{ transform: transform(viewport), visibility: showing && !pruned ? "visible" : "hidden" }}
        />
        {pruned && <p class="sw-placeholder sw-pruned">{PRUNED}</p>}
        {!showing && <span class="sw-placeholder">{state === "empty" ? "no picture yet" : "waiting"}</span>}
        {showing && stale.value && <span class="sw-badge">waiting</span>}
        <span class="sw-progress" data-on={running} aria-hidden="true">
          <span style={{ width: `${share * 100}%` }} />
        </span>
      </div>
      <figcaption>
        <div>
          <span class="sw-caption-title">{titles[which]}</span>
          <button
            type="button"
            class="sw-button sw-icon-button sw-quiet"
            aria-label={`Save the ${models[which]}'s picture as PNG`}
            title="Save as PNG"
            disabled={!showing || pruned}
            onClick={() => canvas.current && save(panel, which, canvas.current)}
          >
            <SaveIcon />
          </button>
        </div>
        <Says which={which} />
        <div class="sw-caption-numbers">
          <span class="sw-line sw-secondary" title={calm.morph ? ABOUT_MORPHS : undefined}>
            {progressText(calm)}
          </span>
          <Activation picture={calm} />
        </div>
      </figcaption>
    </figure>
  );
}
