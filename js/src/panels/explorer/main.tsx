// The Explorer panel: a sample, a sparsity and a neuron; what excites it, and where its prediction comes from.
// This room holds what only the Explorer shows. It imports from common/ and lib/, and from no other panel.

import { useMemo, useState } from "preact/hooks";
import { ExplorerContext, explorerState } from "../../common/explorer/state";
import { defaults, type ExplorerMessage, type Traits } from "../../common/explorer/wire";
import { Announcer } from "../../common/frame/Announcer";
import { Controls } from "../../common/frame/Controls";
import { ErrorLine } from "../../common/frame/ErrorLine";
import { Header } from "../../common/frame/Header";
import { mount, type RenderProps } from "../../common/mount";
import { NeuronPredictions } from "../../common/predictions/NeuronPredictions";
import { DropHint } from "../../common/samples/DropHint";
import { droppedFiles } from "../../common/samples/droppedFiles";
import { Samples } from "../../common/samples/Samples";
import type { Droppers } from "../../common/samples/useDropZone";
import { PlanControls } from "../../common/sparsity/PlanControls";
import { SparsityBar } from "../../common/sparsity/SparsityBar";
import { TraceFacts } from "../../common/sparsity/TraceFacts";
import type { PanelState } from "../../common/state";
import { addPhotos } from "./addPhotos";
import { Centre } from "./Centre";
import { NeuronBrowser } from "./NeuronBrowser";
import { WhatIsLeft } from "./WhatIsLeft";

const hints = { photos: "Drop photographs, or a folder of them, to look for examples in" };

function Explorer({ base }: { base: PanelState<Traits, ExplorerMessage> }) {
  const [panel] = useState(() => explorerState(base));
  const { dense, sparse, maps_state, photo_index } = panel.traits;
  const maps = maps_state.value;
  const photos = photo_index.value.state;
  const paused = [dense.value.state, sparse.value.state, maps, photos].includes("stopped");
  const busy = maps === "working" || photos === "working";
  const droppers: Droppers = useMemo(
    () => ({ photos: (dropped) => void addPhotos(panel, droppedFiles(dropped)) }),
    [panel],
  );
  return (
    <ExplorerContext.Provider value={panel}>
      <div class="sw-panel">
        <Header title="SPADE Explorer" paused={paused} busy={busy} />
        <ErrorLine />
        <div class="sw-columns">
          <div class="sw-column sw-column-sample">
            <Controls>
              <Samples />
            </Controls>
            <NeuronPredictions />
          </div>
          <div class="sw-column sw-column-pictures">
            <Centre>
              <Controls>
                <SparsityBar />
              </Controls>
            </Centre>
            <section class="sw-trace" aria-label="Trace">
              <Controls>
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
        <DropHint droppers={droppers} hints={hints} />
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
