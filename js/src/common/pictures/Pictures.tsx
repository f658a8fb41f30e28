import { useRef } from "preact/hooks";
import { describeNeuron } from "../../lib/neuron";
import { whole, zoom } from "../../lib/viewport";
import { useExplorer } from "../explorer/state";
import { MinusIcon, PlusIcon } from "../parts/icons";
import { PictureView } from "./PictureView";
import { SwipeDivider } from "./SwipeDivider";

/** The two pictures, dense and trace: beside one another, or one over the other with a divider to swipe. */
export function Pictures() {
  const panel = useExplorer();
  const { app, neuron, image } = panel.traits;
  const stage = useRef<HTMLDivElement>(null);
  const mode = panel.mode.value;
  const scale = panel.viewport.value.scale;
  const [height, width] = app.value.input;
  const name = describeNeuron(neuron.value, app.value.classes);

  return (
    <section class="sw-pictures" aria-label="What excites the neuron">
      <div class="sw-heading">
        <h3 class="sw-neuron-name" title={name}>
          {name || "\u00a0"}
        </h3>
        <fieldset class="sw-zoom" aria-label="Zoom of both pictures">
          <button
            type="button"
            class="sw-button sw-icon-button"
            aria-label="Zoom out"
            title="Zoom out (−)"
            disabled={scale <= 1}
            onClick={() => {
              panel.viewport.value = zoom(panel.viewport.value, 1 / 1.5);
            }}
          >
            <MinusIcon />
          </button>
          <button
            type="button"
            class="sw-button sw-zoom-value"
            aria-label={`Zoom ${scale.toFixed(1)} times; show the whole picture`}
            title="Whole picture (0)"
            onClick={() => {
              panel.viewport.value = whole;
            }}
          >
            {scale.toFixed(1)}×
          </button>
          <button
            type="button"
            class="sw-button sw-icon-button"
            aria-label="Zoom in"
            title="Zoom in (+, Ctrl and wheel, or the wheel after a click on a picture)"
            onClick={() => {
              panel.viewport.value = zoom(panel.viewport.value, 1.5);
            }}
          >
            <PlusIcon />
          </button>
        </fieldset>
        <fieldset class="sw-segments" aria-label="How to compare">
          {(["side", "swipe"] as const).map((choice) => (
            <button
              key={choice}
              type="button"
              aria-pressed={mode === choice}
              onClick={() => {
                panel.mode.value = choice;
              }}
            >
              {choice === "side" ? "Side by side" : "Swipe"}
            </button>
          ))}
        </fieldset>
      </div>
      <div
        class="sw-stage"
        data-mode={mode}
        ref={stage}
        style={{ "--sw-aspect": `${width} / ${height}`, "--sw-swipe": panel.swipe.value }}
      >
        <PictureView which="dense" />
        <PictureView which="sparse" />
        {mode === "swipe" && <SwipeDivider stage={stage} />}
      </div>
      {image.value === "sample" && (
        <p class="sw-secondary sw-by-construction">
          Begins at the sample: its own object is in the picture by construction.
        </p>
      )}
    </section>
  );
}
