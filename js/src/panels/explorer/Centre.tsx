import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { useExplorer } from "../../common/explorer/state";
import type { Centre as Choice } from "../../common/explorer/wire";
import { Controls } from "../../common/frame/Controls";
import { useChildWidget } from "../../common/hooks/useChildWidget";
import { Segments } from "../../common/parts/Segments";
import { Pictures } from "../../common/pictures/Pictures";
import { PictureOptions } from "./PictureOptions";
import { Strip } from "./Strip";

const choices: [Choice, string][] = [
  ["visualization", "Visualization"],
  ["saliency", "Saliency"],
  ["both", "Both"],
];

/**
 * What the neuron answers to, where the prediction comes from, or both: the second is a panel of its own. Between them
 * stands what both depend on, so that it is seen with either.
 */
export function Centre({ children }: { children: ComponentChildren }) {
  const panel = useExplorer();
  const { centre, saliency_panel } = panel.traits;
  const place = useRef<HTMLDivElement>(null);
  const state = useChildWidget(panel.host, saliency_panel.value, place, { plotly: false });
  const shown = centre.value;
  // The maps take no less room than the pictures whose place they take: the page below stays where it is.
  const pictures = useRef<HTMLDivElement>(null);
  const reserved = useRef(0);
  // Measured now, while they are still on screen: the strip below them has grown since this was last drawn.
  reserved.current = pictures.current?.offsetHeight || reserved.current;
  return (
    <>
      <Controls>
        <div class="sw-centre-choice">
          <Segments
            label="What the centre shows"
            choices={choices}
            chosen={shown}
            onChoose={(choice) => panel.connection.set("centre", choice)}
          />
          {shown !== "saliency" && <PictureOptions />}
        </div>
      </Controls>
      <div class="sw-centre-part" ref={pictures} hidden={shown === "saliency"}>
        <Pictures />
        <Strip />
      </div>
      {children}
      <div
        class="sw-centre-part"
        hidden={shown === "visualization"}
        aria-busy={state === "waiting"}
        style={{ minHeight: shown === "saliency" ? `${reserved.current}px` : undefined }}
      >
        {state === "waiting" && <p class="sw-secondary">making the saliency panel …</p>}
        {state === "failed" && <p class="sw-secondary">The saliency panel can't be shown here.</p>}
        <div ref={place} />
      </div>
    </>
  );
}
