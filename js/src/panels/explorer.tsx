// The Explorer panel: a sample, a sparsity and a neuron; what excites it, and where its prediction comes from.

import { useState } from "preact/hooks";
import { Announcer } from "../components/Announcer";
import { Centre } from "../components/Centre";
import { Controls } from "../components/Controls";
import { DropHint } from "../components/DropHint";
import { ErrorLine } from "../components/ErrorLine";
import { Header } from "../components/Header";
import { NeuronBrowser } from "../components/NeuronBrowser";
import { NeuronPredictions } from "../components/NeuronPredictions";
import { PlanControls } from "../components/PlanControls";
import { Samples } from "../components/Samples";
import { SparsityBar } from "../components/SparsityBar";
import { TraceFacts } from "../components/TraceFacts";
import { WhatIsLeft } from "../components/WhatIsLeft";
import { ExplorerContext, explorerState } from "../explorerState";
import { mount, type RenderProps } from "../mount";
import type { PanelState } from "../state";
import { defaults, type ExplorerMessage, type Traits } from "../wire";

function Explorer({ base }: { base: PanelState<Traits, ExplorerMessage> }) {
  const [panel] = useState(() => explorerState(base));
  const { dense, sparse, maps_state } = panel.traits;
  const maps = maps_state.value;
  const paused = [dense.value.state, sparse.value.state, maps].includes("stopped");
  return (
    <ExplorerContext.Provider value={panel}>
      <div class="sw-panel">
        <Header title="SPADE Explorer" paused={paused} busy={maps === "working"} />
        <ErrorLine />
        <div class="sw-columns">
          <div class="sw-column sw-column-sample">
            <Controls>
              <Samples />
            </Controls>
            <NeuronPredictions />
          </div>
          <div class="sw-column sw-column-pictures">
            <Centre />
            <section class="sw-trace" aria-label="Trace">
              <Controls>
                <SparsityBar />
                <PlanControls />
              </Controls>
              <TraceFacts />
            </section>
          </div>
          <div class="sw-column sw-column-neuron">
            <Controls>
              <NeuronBrowser />
            </Controls>
          </div>
        </div>
        <WhatIsLeft />
        <DropHint />
        <Announcer />
      </div>
    </ExplorerContext.Provider>
  );
}

const render = (props: RenderProps) =>
  mount<Traits, ExplorerMessage>(props, {
    defaults: () => defaults,
    show: (base) => <Explorer base={base} />,
  });

export default { render };
