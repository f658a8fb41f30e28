import { Controls } from "../../../common/frame/Controls";
import { Segments } from "../../../common/parts/Segments";
import { useSaliency } from "../state";
import { ColormapPicker } from "./ColormapPicker";
import { ExportMenu } from "./ExportMenu";
import { LookSlider } from "./LookSlider";
import { MethodPicker } from "./MethodPicker";

/** Which maps, and how they are drawn. All but the methods is done by the page at once. */
export function Toolbar() {
  const panel = useSaliency();
  const { signed, scale, outline } = panel.look.value;
  const { set } = panel.connection;
  return (
    <div class="sw-toolbar" role="group" aria-label="Which maps, and how they are drawn">
      <Controls>
        <MethodPicker />
      </Controls>
      <ColormapPicker />
      <LookSlider
        name="opacity"
        label="opacity"
        title="How much of the map covers the image"
        low={0}
        high={1}
        step={0.01}
        show={(value) => `${Math.round(value * 100)} %`}
      />
      <LookSlider
        name="clip"
        label="clip"
        title="The share of the magnitudes that the colours tell apart; those above all look alike. Less brings out weak values"
        low={90}
        high={100}
        step={0.1}
        show={(value) => `${value.toFixed(1)} %`}
      />
      <Segments
        label="Signs"
        choices={[
          ["signed", "Signed", "What speaks against the class has colours of its own"],
          ["absolute", "Absolute", "Only how strong a value is counts"],
        ]}
        chosen={signed ? "signed" : "absolute"}
        onChoose={(choice) => set("signed", choice === "signed")}
      />
      <Segments
        label="Scale of the colours"
        choices={[
          ["same", "Same scale", "One scale for dense and trace: what is stronger looks stronger"],
          ["own", "Each its own", "Each map on a scale of its own: weak ones can be read, too"],
        ]}
        chosen={scale}
        onChoose={(choice) => set("scale", choice)}
      />
      {panel.outline.value !== "" && (
        <button
          type="button"
          class="sw-button sw-toggle"
          aria-pressed={outline}
          title="The border of the patch that is known to be the cause"
          onClick={() => set("outline", !outline)}
        >
          Outline
        </button>
      )}
      <span class="sw-toolbar-end">
        <button
          type="button"
          class="sw-button sw-toggle"
          aria-pressed={panel.curvesOpen.value}
          title="Insertion and deletion: what the class's probability does as pixels come and go by rank"
          onClick={() => {
            panel.curvesOpen.value = !panel.curvesOpen.value;
          }}
        >
          Curves
        </button>
        <ExportMenu />
      </span>
    </div>
  );
}
