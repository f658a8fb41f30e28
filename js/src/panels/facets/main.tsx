// The Facet panel: the unlike things that a neuron answers to in the user's photographs, a row each, and a plot of all.
// This room holds what only the Facet panel shows. It imports from common/ and lib/, and from no other panel.

import { useEffect, useState } from "preact/hooks";
import { Announcer } from "../../common/frame/Announcer";
import { Controls } from "../../common/frame/Controls";
import { ErrorLine } from "../../common/frame/ErrorLine";
import { Header } from "../../common/frame/Header";
import { mount, type RenderProps } from "../../common/mount";
import { NeuronFields } from "../../common/neuron/NeuronFields";
import { DropHint } from "../../common/samples/DropHint";
import { Samples } from "../../common/samples/Samples";
import { PlanControls } from "../../common/sparsity/PlanControls";
import { SparsityBar } from "../../common/sparsity/SparsityBar";
import type { PanelState } from "../../common/state";
import { Plot } from "./plot/Plot";
import { Rows } from "./rows/Rows";
import { FacetContext, facetState } from "./state";
import { SurveyList } from "./survey/SurveyList";
import { type FacetMessage, type FacetTraits, facetDefaults } from "./wire";

function Facets({ base }: { base: PanelState<FacetTraits, FacetMessage> }) {
  const [[panel, end]] = useState(() => facetState(base));
  useEffect(() => end, [end]);
  const paused = panel.traits.pictures.value.some((picture) => picture?.state === "stopped");
  return (
    <FacetContext.Provider value={panel}>
      <div class="sw-panel sw-facet-panel">
        <Header title="SPADE Facets" paused={paused} />
        <ErrorLine />
        <div class="sw-columns">
          <div class="sw-column sw-column-choice">
            <Controls>
              <section class="sw-neuron" aria-labelledby={panel.id("neuron")}>
                <NeuronFields />
              </section>
            </Controls>
            <SurveyList />
            <Controls>
              <Samples />
            </Controls>
          </div>
          <div class="sw-column sw-column-facets">
            <Rows />
            <section class="sw-trace" aria-label="Facet traces">
              <Controls>
                <SparsityBar keep={false} />
                <PlanControls />
              </Controls>
            </section>
          </div>
          <div class="sw-column sw-column-plot">
            <Plot />
          </div>
        </div>
        <DropHint />
        <Announcer />
      </div>
    </FacetContext.Provider>
  );
}

const render = (props: RenderProps) =>
  mount<FacetTraits, FacetMessage>(props, {
    defaults: () => facetDefaults,
    show: (base) => <Facets base={base} />,
  });

export default { render };
