// The Explorer panel: connects the components to an anywidget model. No state lives outside of a view.

import { render as renderTree } from "preact";
import { ErrorLine } from "../components/ErrorLine";
import { Header } from "../components/Header";
import { NeuronBrowser } from "../components/NeuronBrowser";
import { Pictures } from "../components/Pictures";
import { PlanControls } from "../components/PlanControls";
import { Predictions } from "../components/Predictions";
import { Samples } from "../components/Samples";
import { SparsityBar } from "../components/SparsityBar";
import { TraceFacts } from "../components/TraceFacts";
import { useDropZone } from "../components/useDropZone";
import { WhatIsLeft } from "../components/WhatIsLeft";
import { watchVisibility } from "../components/watchVisibility";
import { type AnyModel, connect, type Host } from "../model";
import { createState, PanelContext, type PanelState } from "../state";
import { defaults } from "../wire";

function Explorer({ panel }: { panel: PanelState }) {
  const dropping = useDropZone(panel);
  return (
    <PanelContext.Provider value={panel}>
      <div class="sw-panel">
        <Header />
        <ErrorLine />
        <div class="sw-columns">
          <div class="sw-column sw-column-sample">
            <Samples />
            <Predictions />
          </div>
          <div class="sw-column sw-column-pictures">
            <Pictures />
            <section class="sw-trace" aria-label="Trace">
              <SparsityBar />
              <PlanControls />
              <TraceFacts />
            </section>
          </div>
          <div class="sw-column sw-column-neuron">
            <NeuronBrowser />
          </div>
        </div>
        <WhatIsLeft />
        {dropping && (
          <div class="sw-drop" aria-hidden="true">
            Drop images to add them as samples
          </div>
        )}
        <div class="sw-hidden" role="status" aria-live="polite">
          {panel.announcement}
        </div>
      </div>
    </PanelContext.Provider>
  );
}

export interface RenderProps {
  model: AnyModel;
  el: HTMLElement;
  /** Since anywidget 0.11. */
  host?: Host;
}

function render({ model, el, host }: RenderProps): () => void {
  const root = document.createElement("div");
  root.className = "sw-explorer";
  // The Lab's keyboard shortcuts and its context menu have no business inside the panel.
  root.dataset.lmSuppressShortcuts = "true";
  root.dataset.jpSuppressContextMenu = "";
  const stop = (event: Event) => event.stopPropagation();
  root.addEventListener("keydown", stop);
  el.append(root);

  const connection = connect(model, defaults);
  const panel = createState(connection, host, root);
  renderTree(<Explorer panel={panel} />, root);
  const unwatch = watchVisibility(panel);

  return () => {
    unwatch();
    renderTree(null, root);
    connection.dispose();
    root.removeEventListener("keydown", stop);
    root.remove();
  };
}

export default { render };
